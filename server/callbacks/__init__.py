"""What is done after each round, one file each: a callback returns its part of the round's record."""

from server.callbacks.attack_success import AttackSuccess
from server.callbacks.callback import Callback, FinishedRound
from server.callbacks.pgd_probe import PGDProbe
from server.callbacks.undefended_snapshot import UNDEFENDED, UndefendedSnapshot
from server.callbacks.worst_client import WorstClient

__all__ = [
    "UNDEFENDED",
    "AttackSuccess",
    "Callback",
    "FinishedRound",
    "PGDProbe",
    "UndefendedSnapshot",
    "WorstClient",
]
