"""Malicious clients that others submit against a claim: the claim's setting, run anew with their attack."""

import hashlib
import importlib.util
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fedrobust.leaderboard.claim import BreakRecord, ClaimedFigure, ClaimError, ClaimRecord
from fedrobust.leaderboard.of_sweep import HARM, SUCCESS, figures_of
from fedrobust.sweeps.row import Row
from fedrobust.sweeps.rows import status_of
from fedrobust.sweeps.sweep import Sweep
from fedrobust.sweeps.values import flattened


def sweep_of(claim: ClaimRecord, attack: str, base: Path) -> Sweep:
    """Return the claim's setting with a submitted attack, as a sweep over the claim's seeds.

    Args:
        claim: the claim.
        attack: "my_module:Attack", with settings in parentheses if it has some, or the name of a registered one.
        base: folder with the module.

    Raises:
        ConfigError: it is no valid study.
    """
    federation = {**claim.setting["federation"], **claim.defence}
    poisoning = {**claim.setting["poisoning"], "attack": attack}
    malicious = poisoning.get("malicious")
    if isinstance(malicious, list):  # one value, which in a sweep would be a list of values
        poisoning["malicious"] = [malicious]
    values = flattened({**claim.setting, "federation": federation, "poisoning": poisoning})
    known = {key: value for key, value in values.items() if value is not None}
    return Sweep.of("break", {**known, "seed": list(claim.seeds)}, base=base)


def break_by_client(claim: ClaimRecord, attack: str, rows: Iterable[Row], base: Path) -> BreakRecord:
    """Return what a submitted client did, from the cells of `sweep_of`.

    It breaks the claim if the mean over seeds of the balanced accuracy is below that of each seed's worst attack so
    far, or the mean of its success is above it.

    Raises:
        ClaimError: a cell is not finished.
    """
    found = list(rows)
    unfinished = [row for row in found if status_of(row) != "finished"]
    if unfinished or not found:
        why = next((row.error for row in unfinished if row.error), "it has no result")
        raise ClaimError(f"{attack}: {len(unfinished)} of {len(found)} studies are not finished: {why}")
    figures = figures_of(found, claim.seeds)
    return BreakRecord(
        kind="client",
        submission=client_digest(attack, base),
        name=attack,
        holds=beyond(figures, claim.figures),
        figures=figures,
    )


def beyond(figures: Mapping[str, ClaimedFigure], claimed: Mapping[str, ClaimedFigure]) -> bool:
    """Return whether a client does more than every attack of the claim.

    Example:
        >>> worst = {"worst balanced_accuracy": ClaimedFigure(mean=0.7)}
        >>> beyond({"balanced_accuracy": ClaimedFigure(mean=0.6)}, worst)
        True
    """
    for name in (HARM[0], SUCCESS):
        before = claimed.get(f"worst {name}")
        if before is None or name not in figures:
            continue
        more = before.mean - figures[name].mean
        if (more if name != SUCCESS else -more) > 0:
            return True
    return False


def client_digest(attack: str, base: Path) -> str:
    """Return the SHA-256 of an attack's text and of its module's code.

    Raises:
        ClaimError: there is no such module.
    """
    parts: list[Any] = [attack]
    for one in attack.split("+"):
        module, separator, _ = one.strip().partition(":")
        if not separator:
            continue
        path = base / f"{module.replace('.', '/')}.py"
        if not path.is_file():
            spec = importlib.util.find_spec(module.partition(".")[0])
            if spec is None or not spec.origin:
                raise ClaimError(f"client = {attack}: there is no module {module} in {base}")
            path = Path(spec.origin)
        parts.append(hashlib.sha256(path.read_bytes()).hexdigest())
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
