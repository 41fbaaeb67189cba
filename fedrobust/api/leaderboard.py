"""Claims on defences: made from sweeps, merged into one page, broken by submissions."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedrobust.config import ConfigError
from fedrobust.leaderboard.claim import ENDING, ClaimError, ClaimRecord, read_claim, write_claim
from fedrobust.leaderboard.client import break_by_client, client_digest, sweep_of
from fedrobust.leaderboard.merge import claim_files, merged, submitted, with_breaks
from fedrobust.leaderboard.of_sweep import claims_of
from fedrobust.leaderboard.page import write
from fedrobust.study import Study
from fedrobust.sweeps.bench import bench as run_cells
from fedrobust.sweeps.results import FILE, Results

if TYPE_CHECKING:
    from fedrobust.sweeps.events import SweepListener

CLAIMS = "claims"
"""The folder of a sweep with its claims."""


@dataclass(frozen=True)
class Leaderboard:
    """A page of claims.

    Attributes:
        page: its file.
        files: the claims' files.
        claims: the claims, the best worst case first.
    """

    page: Path
    files: tuple[Path, ...]
    claims: tuple[ClaimRecord, ...]


def write_leaderboard(paths: Iterable[str | Path], out: str | Path = "", footnote: str = "") -> Leaderboard:
    """Make claims from sweeps, merge them with claims from files, and write one page.

    A claim holds what one defence does in one setting: metrics without an attack and under each seed's worst attack,
    the versions of what computed them, and why they may be better than the truth. Breaks that were submitted against a
    claim are kept when it is made again.

    Args:
        paths: sweep folders, whose claims are written into their folder ``claims``; claims' files; folders with some.
        out: folder of ``leaderboard.html``; of a single sweep its own folder if empty, else ``leaderboard``.
        footnote: a remark that is part of the claims made from sweeps.

    Raises:
        ClaimError: a file holds no claim, was changed after it was written, or holds one that stands in another, too;
            or a sweep has nothing to claim.
        SweepError: a sweep's results are damaged.

    Example:
        >>> fedrobust.write_leaderboard(["runs/rules-sweep"], out="board").page  # doctest: +SKIP
    """
    places = [Path(path).expanduser() for path in paths]
    if not places:
        raise ConfigError("leaderboard: name at least one sweep folder, or a file or folder of claims")
    sweeps = [place for place in places if (place / FILE).is_file()]
    files: list[Path] = []
    for place in sweeps:
        files += _written(Results.open(place), place / CLAIMS, footnote)
    files += claim_files([place for place in places if place not in sweeps])
    claims = merged(list(dict.fromkeys(file.resolve() for file in files)))
    alone = places[0] if len(places) == 1 and sweeps else Path("leaderboard")
    return Leaderboard(write(claims, Path(out).expanduser() if out else alone), tuple(files), tuple(claims))


def break_claim(
    claim: str | Path,
    *listeners: "SweepListener",
    images: str | Path = "",
    client: str = "",
    model: str = "",
    out: str | Path = "",
    workers: int = 0,
) -> ClaimRecord:
    """Check a break of a claim, and write the claim with what was found, whether it holds or not.

    Either adversarial images of one of the claim's models: they count if they are within the setting's largest epsilon
    of test images, with the right labels, and change a correct answer. Or a malicious client: the claim's setting is
    run with it, all seeds; it breaks the claim if it does more than every attack of the claim.

    Args:
        claim: its file; its models are found by their paths from there.
        listeners: called with every event of the studies.
        images: ``.npz`` file with ``images`` (n, height, width, channels), uint8 or float in [0, 1], ``labels`` (n,),
            and ``index`` (n,), the places of the test images that they are made from.
        client: "my_module:Attack", a module in the present folder or an installed one: its code is run.
        model: SHA-256, or its beginning, of the attacked model; the claim's first one if empty.
        out: folder of the client's studies; beside the claim if empty.
        workers: studies at a time; 0: one per core.

    Raises:
        ClaimError: the claim was changed, the submission does not fit it or was submitted before.
        ConfigError, DataError: the setting cannot be run here.

    Example:
        >>> fedrobust.break_claim("rule.claim.json", images="adversarial.npz").breaks[-1].broken  # doctest: +SKIP
    """
    if bool(images) == bool(client):
        raise ConfigError("break: give either images or a client")
    path = Path(claim).expanduser()
    before = read_claim(path)
    base = Path.cwd()
    if client:
        digest = client_digest(client, base)
        if any(one.submission == digest for one in before.breaks):
            raise ClaimError(f"client = {client}: this code is in the claim already, digest {digest[:12]}")
        sweep = sweep_of(before, client, base)
        folder = Path(out).expanduser() if out else path.parent / f"break-{digest[:12]}"
        results = run_cells(sweep, folder, *listeners, workers=workers)
        found = break_by_client(before, client, results.rows(), base)
    else:
        # Keras is needed by models only.
        from fedrobust.leaderboard.images import break_by_images

        study = Study.up_to_date(sweep_of(before, "none", base).cells[0].experiment)
        if study.dataset.digest != before.data:
            raise ClaimError(
                f"{study.dataset.name}: not the data of the claim, whose digest is {before.data[:12]}"
            )
        found = break_by_images(before, path.parent, Path(images).expanduser(), study.dataset.test, model)
    after = submitted(before, found)
    write_claim(after, path)
    return after


def _written(results: Results, folder: Path, footnote: str) -> list[Path]:
    """Write the claims of a sweep, with the breaks that earlier files of the same claims have."""
    found = []
    for claim in claims_of(results, folder, footnote):
        name = re.sub(r"[^A-Za-z0-9.]+", "-", claim.name).strip("-") or "defence"
        path = folder / f"{name}-{claim.identity[:8]}{ENDING}"
        if path.is_file():
            claim = with_breaks(claim, read_claim(path).breaks)
        found.append(write_claim(claim, path))
    return found
