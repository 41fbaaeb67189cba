"""Postprocessors of updates, at clients and at the server."""

from fedrobust.privacy.clip import Clip
from fedrobust.privacy.contract import POSTPROCESSORS, Postprocessor, at_client, at_server

__all__ = ["POSTPROCESSORS", "Clip", "Postprocessor", "at_client", "at_server"]
