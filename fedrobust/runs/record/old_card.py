"""Cards of schema 1 and 2 in the shape of schema 3.

Their figures stood one by one, each a value with its interval, and not as METRICS; what stood after all attacks was one
of them; the curve was a list of rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fedrobust.runs.codec import RecordError

SCORES = {"accuracy": "accuracy", "balanced accuracy": "balanced_accuracy", "auc": "auc"}


def modern(card: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a card in the shape of schema 3; one that has it already as it is.

    Raises:
        RecordError: it is no card of its schema.
    """
    if card.get("schema") not in (1, 2):
        return card
    try:
        attacked = dict(card.get("attacked") or {})
        standing = attacked.pop("standing", None)
        return {
            **card,
            "schema": 3,
            "clean": metrics(card.get("clean")),
            "attacked": metrics(attacked),
            "standing": metrics({"accuracy": standing} if standing else None),
            "robust": curves(card.get("curve") or ()),
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecordError(
            f"it is no card of schema {card['schema']} ({type(error).__name__}: {error})"
        ) from error


def metrics(figures: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return figures, each with its interval, as METRICS.

    Example:
        >>> found = metrics({"accuracy": {"value": 0.75, "interval": [0.5, 0.9], "constant": 0.5, "counts": [6, 8]}})
        >>> found["n"], found["correct"], found["majority_rate"], found["interval"]["accuracy"]
        (8, 6, 0.5, [0.5, 0.9])
    """
    if not figures:
        return None
    recalls = sorted(int(name.removeprefix("recall ")) for name in figures if name.startswith("recall "))
    classes = [figures.get(f"recall {label}") or {} for label in range(max(recalls, default=-1) + 1)]
    right, n = figures["accuracy"].get("counts") or (0, 0)
    others = {name for name in figures if name not in SCORES and not name.startswith("recall ")}
    return {
        "n": n,
        "correct": right,
        **{key: (figures.get(name) or {}).get("value") for name, key in SCORES.items()},
        "recall": [one.get("value") for one in classes],
        "majority_rate": figures["accuracy"].get("constant"),
        "interval": {
            **{key: (figures.get(name) or {}).get("interval") for name, key in SCORES.items()},
            "recall": [one.get("interval") for one in classes],
        },
        "too-few": {
            SCORES.get(name, name): figure["too-few"]
            for name, figure in figures.items()
            if name not in others and figure.get("too-few")
        },
        "figures": {name: figures[name] for name in figures if name in others},
    }


def curves(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return rows of one attack and epsilon each as METRICS by attack and epsilon."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        found.setdefault(row["attack"], {})[str(row["epsilon"])] = {
            "n": row["n"],
            "correct": row["right"],
            "accuracy": row["accuracy"],
            "interval": {"accuracy": row["interval"]},
        }
    return found
