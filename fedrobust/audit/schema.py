"""The JSON schema of ``card.json``."""

from typing import Any

from fedrobust.runs.record import CardRecord, json_schema

CARD_SCHEMA: dict[str, Any] = json_schema(CardRecord, "Card of a fedrobust audit")
"""JSON Schema (draft 2020-12) of ``card.json``.

Example:
    >>> CARD_SCHEMA["$defs"]["VerdictRecord"]["properties"]["word"]["enum"][0]
    'robust'
"""
