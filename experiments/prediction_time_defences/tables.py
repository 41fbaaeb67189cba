"""The table of audits."""

from collections.abc import Mapping
from typing import Any

HEAD = (
    "| defence | clean | robust | balanced, clean | balanced, robust | robust, of each class | points above undefended "
    "| verdict | failed checks |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def written(cards: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the cards as rows of a Markdown table; the first is the network without a defence."""
    control = next(iter(cards.values()))
    return "\n".join([HEAD, *(row(spec, card, control) for spec, card in cards.items())]) + "\n"


def row(spec: str, card: Mapping[str, Any], control: Mapping[str, Any]) -> str:
    """Return one card as a row; shares are of all images, or means over the classes.

    A network that answers one class nearly always is right on that class whatever is done to an image: the robust
    images of each class tell it from a robust one.
    """
    standing, clean = card["standing"]["accuracy"], card["clean"]["accuracy"]
    above = 100 * (balanced(card, "standing") - balanced(control, "standing"))
    failed = [check["check"] for check in card["checks"] if check["outcome"] == "failed"]
    classes = ", ".join(f"{one['standing']} of {one['n']}" for one in card["classes"])
    return (
        f"| `{spec}` | {100 * clean:.0f} % | {100 * standing:.0f} % | {100 * balanced(card, 'right'):.0f} % | "
        f"{100 * balanced(card, 'standing'):.0f} % | {classes} | {above:+.0f} | {card['verdict']['word']} | "
        f"{'; '.join(failed)} |"
    )


def balanced(card: Mapping[str, Any], what: str) -> float:
    """Return the mean over classes of the share of images that are right, or standing.

    Example:
        >>> balanced({"classes": [{"standing": 5, "n": 10}, {"standing": 0, "n": 90}]}, "standing")
        0.25
    """
    shares = [one[what] / one["n"] for one in card["classes"]]
    return float(sum(shares) / len(shares))
