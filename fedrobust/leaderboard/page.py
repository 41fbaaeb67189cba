"""The page of claims, ``leaderboard.html``: one file without scripts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedrobust.atomic import atomic
from fedrobust.leaderboard.claim import BreakRecord, ClaimedFigure, ClaimRecord
from fedrobust.leaderboard.of_sweep import setting_key
from fedrobust.report import html
from fedrobust.sweeps.digests import DIGITS
from fedrobust.sweeps.values import flattened, shown

FILE = "leaderboard.html"

SHOWN = {
    "data.name": "data",
    "data.partition": "partition",
    "federation.clients": "clients",
    "federation.participation": "participation",
    "federation.rounds": "rounds",
    "poisoning.malicious": "malicious",
    "poisoning.first-round": "attack from round",
    "model.name": "network",
    "training.layers": "trained layers",
    "training.recipe": "recipe",
}
"""Settings that are named above a table; all of them are below it."""


@dataclass(frozen=True)
class Board:
    """The claims of one setting.

    Attributes:
        title: its data and main settings, and digests of the files that they name.
        settings: all settings and these digests, as lines.
        claims: the best worst case first.
    """

    title: str
    settings: tuple[str, ...]
    claims: tuple[ClaimRecord, ...]


def boards(claims: Sequence[ClaimRecord]) -> list[Board]:
    """Return claims by their setting, in the order given."""
    groups: dict[str, list[ClaimRecord]] = {}
    for claim in claims:
        groups.setdefault(setting_key(claim), []).append(claim)
    found = []
    for group in groups.values():
        flat, files = flattened(group[0].setting), group[0].files or {}
        title = [f"{name} {shown(flat[key])}" for key, name in SHOWN.items() if key in flat]
        title += [f"{key} {digest[:DIGITS]}" for key, digest in sorted(files.items())]
        lines = tuple(f"{key} = {json.dumps(value)}" for key, value in sorted({**flat, **files}.items()))
        found.append(Board(", ".join(title), lines, tuple(group)))
    return found


def flags(claim: ClaimRecord, claims: Sequence[ClaimRecord]) -> tuple[str, ...]:
    """Return why the figures of a claim may be better than the truth, or than those of claims in the same table.

    Args:
        claim: one of `claims`.
        claims: of the page; those of other settings stand in other tables.
    """
    own = setting_key(claim)
    attacks = dict.fromkeys(attack for one in claims if setting_key(one) == own for attack in one.attacks)
    missing = [attack for attack in attacks if attack not in claim.attacks]
    if not missing:
        return claim.unreliable
    told_ = f"attacks that other defences of this table faced have no result here: {', '.join(missing)}"
    return (*claim.unreliable, told_)


def render(claims: Sequence[ClaimRecord]) -> str:
    """Return the page of claims as HTML."""
    return html.page(
        "leaderboard.html.j2",
        "fedrobust.leaderboard",
        boards=boards(claims),
        claims=len(claims),
        broken=sum(claim.broken for claim in claims),
        doubtful=sum(bool(flags(claim, claims)) for claim in claims),
        flags=flags,
        percent=percent,
        told=told,
    )


def write(claims: Sequence[ClaimRecord], folder: Path) -> Path:
    """Write ``leaderboard.html`` into a folder, atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic(folder / FILE) as draft:
        draft.write_text(render(claims), encoding="utf-8", newline="\n")
    return folder / FILE


def percent(figure: ClaimedFigure | None) -> str:
    """Return a figure in percent with its interval; with the smallest and largest seed where that is cut off.

    Example:
        >>> percent(ClaimedFigure(mean=0.5)), percent(ClaimedFigure(mean=0.5, low=0.4, high=0.6)), percent(None)
        ('50.0', '50.0 (40.0 to 60.0)', '–')
        >>> percent(ClaimedFigure(mean=0.5, low=0.0, high=1.0, values=(0.4, 0.6)))
        '50.0 (seeds 40.0 to 60.0)'
    """
    if figure is None:
        return "–"
    if figure.low is None or figure.high is None:
        return f"{100 * figure.mean:.1f}"
    low, high, word = figure.low, figure.high, ""
    if low <= 0 or high >= 1:
        low, high, word = min(figure.values), max(figure.values), "seeds "
    return f"{100 * figure.mean:.1f} ({word}{100 * low:.1f} to {100 * high:.1f})"


def told(one: BreakRecord) -> dict[str, Any]:
    """Return a break in words: what was submitted, and what it does."""
    if one.kind == "images":
        what = (
            f"{one.broken} of {one.images} images within epsilon {one.epsilon:.4g} change the answer; at most "
            f"{100 * (one.accuracy or 0.0):.1f} % of the answers to the test images stand"
        )
    else:
        what = ", ".join(
            f"{name.replace('_', ' ')} {percent(figure)}" for name, figure in one.figures.items()
        )
    return {"what": what, "kind": "adversarial images" if one.kind == "images" else "malicious client"}
