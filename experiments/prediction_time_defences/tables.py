"""The table of audits."""

from collections.abc import Mapping
from typing import Any

HEAD = (
    "| defence | clean | robust | points above undefended | verdict | failed checks |\n"
    "| --- | --- | --- | --- | --- | --- |"
)


def written(cards: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the cards as rows of a Markdown table."""
    control = next(iter(cards.values()))
    return "\n".join([HEAD, *(row(spec, card, control) for spec, card in cards.items())]) + "\n"


def row(spec: str, card: Mapping[str, Any], control: Mapping[str, Any]) -> str:
    """Return one card as a row; shares are of all images."""
    standing, clean = card["standing"]["accuracy"], card["clean"]["accuracy"]
    above = 100 * (standing - control["standing"]["accuracy"])
    failed = [check["check"] for check in card["checks"] if check["outcome"] == "failed"]
    return (
        f"| `{spec}` | {100 * clean:.0f} % | {100 * standing:.0f} % | {above:+.0f} | {card['verdict']['word']} | "
        f"{'; '.join(failed)} |"
    )
