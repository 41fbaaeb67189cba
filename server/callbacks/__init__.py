"""Callbacks, called after each round: each returns its fields of the round's record. One file each."""

from server.callbacks.attack_success import AttackSuccess
from server.callbacks.callback import Callback, FinishedRound
from server.callbacks.kept_round import KeptRound
from server.callbacks.pgd_probe import PGDProbe
from server.callbacks.privacy_spent import PrivacySpent
from server.callbacks.undefended_snapshot import UNDEFENDED, UndefendedSnapshot
from server.callbacks.worst_client import WorstClient

__all__ = [
    "UNDEFENDED",
    "AttackSuccess",
    "Callback",
    "FinishedRound",
    "KeptRound",
    "PGDProbe",
    "PrivacySpent",
    "UndefendedSnapshot",
    "WorstClient",
]
