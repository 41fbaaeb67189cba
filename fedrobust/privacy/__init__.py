"""Postprocessors: what is done to updates on their way, by clients and by the server."""

from fedrobust.privacy.clip import Clip
from fedrobust.privacy.contract import POSTPROCESSORS, Postprocessor, at_client, at_server

__all__ = ["POSTPROCESSORS", "Clip", "Postprocessor", "at_client", "at_server"]
