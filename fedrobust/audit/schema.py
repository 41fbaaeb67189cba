"""The JSON schema of ``card.json``."""

from typing import Any

NUMBER = {"type": "number"}
COUNT = {"type": "integer", "minimum": 0}
TEXT = {"type": "string"}
SHARE = {"type": "number", "minimum": 0, "maximum": 1}
LIMITS = {"type": "array", "items": NUMBER, "minItems": 2, "maxItems": 2}


def _object(properties: dict[str, Any], optional: tuple[str, ...] = (), open: bool = False) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        **({} if open else {"additionalProperties": False}),
    }


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


FIGURE = _object(
    {
        "value": _or_null(NUMBER),
        "interval": _or_null(LIMITS),
        "constant": _or_null(NUMBER),
        "method": TEXT,
        "counts": _or_null({"type": "array", "items": COUNT, "minItems": 2, "maxItems": 2}),
        "too-few": TEXT,
    },
    optional=("too-few",),
)
FIGURES = {"type": "object", "additionalProperties": FIGURE}

CHECK = _object(
    {
        "check": TEXT,
        "outcome": {"enum": ["passed", "failed", "not applicable", "not made"]},
        "weight": {"enum": ["degenerate", "not robust", "not proven", "report"]},
        "figure": TEXT,
        "rule": TEXT,
        "sentence": TEXT,
        "source": TEXT,
        "details": {"type": "object"},
        "called": TEXT,
        "next": TEXT,
    },
    optional=("called", "next"),
)

CARD_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Card of a fedrobust audit",
    **_object(
        {
            "schema": {"const": 2},
            "model": _object({"name": TEXT, "digest": TEXT, "output": TEXT}),
            "data": _object(
                {
                    "name": TEXT,
                    "digest": TEXT,
                    "split": TEXT,
                    "labels": {"type": "array"},
                    "disease": {"type": "array", "items": COUNT},
                    "official": _or_null(COUNT),
                    "n": COUNT,
                },
                optional=("split", "official"),
                open=True,
            ),
            "threat": _object(
                {
                    "norm": {"enum": ["linf", "l2"]},
                    "epsilon": {"type": ["number", "string"]},
                    "epsilon-value": NUMBER,
                    "space": {"enum": ["native", "prepared"]},
                    "bits": {"enum": [0, 8]},
                    "tied": {"type": "boolean"},
                }
            ),
            "settings": _object(
                {
                    "effort": {"enum": ["quick", "standard", "full"]},
                    "seed": COUNT,
                    "steps": COUNT,
                    "queries": COUNT,
                }
            ),
            "verdict": _object(
                {
                    "word": {"enum": ["robust", "not robust", "not proven", "degenerate"]},
                    "sentence": TEXT,
                    "deciding": {"type": "array", "items": TEXT},
                }
            ),
            "cost": _object({"queries": COUNT, "gradients": COUNT, "seconds": NUMBER}),
            "notes": {"type": "array", "items": TEXT},
            "checks": {"type": "array", "items": CHECK},
            "clean": FIGURES,
            "attacked": FIGURES,
            "classes": {
                "type": "array",
                "items": _object(
                    {
                        "label": COUNT,
                        "name": TEXT,
                        "disease": {"type": "boolean"},
                        "n": COUNT,
                        "right": COUNT,
                        "standing": COUNT,
                    }
                ),
            },
            "curve": {
                "type": "array",
                "items": _object(
                    {
                        "attack": TEXT,
                        "epsilon": {"type": ["number", "string"]},
                        "right": COUNT,
                        "n": COUNT,
                        "accuracy": SHARE,
                        "interval": LIMITS,
                    }
                ),
            },
            "broken-by": {"type": "object", "additionalProperties": COUNT},
            "attacks": {
                "type": "array",
                "items": _object(
                    {
                        "name": TEXT,
                        "epsilons": {"type": "array", "items": NUMBER},
                        "n": COUNT,
                        "broken": {"type": "array", "items": COUNT},
                        "queries": NUMBER,
                        "gradients": NUMBER,
                        "seconds": NUMBER,
                    }
                ),
            },
        },
        open=True,
    ),
}
"""JSON Schema (draft 2020-12) of ``card.json``; further entries, such as ``environment``, may stand beside these.

Example:
    >>> CARD_SCHEMA["properties"]["verdict"]["properties"]["word"]["enum"][0]
    'robust'
"""
