"""Claims from many files, each once."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from fedrobust.leaderboard.claim import ENDING, BreakRecord, ClaimError, ClaimRecord, read_claim
from fedrobust.paths import absent


def claim_files(paths: Iterable[Path]) -> list[Path]:
    """Return the claims' files among paths: files, and those in folders, in order.

    Raises:
        ClaimError: a path is neither a claim's file nor a folder with some.
    """
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.rglob(f"*{ENDING}")) if path.is_dir() else [path] if path.is_file() else []
        if not inside:
            why = "" if path.exists() else f" ({absent(path)})"
            raise ClaimError(f"{path}: neither a claim's file nor a folder with files *{ENDING}{why}")
        found += inside
    return found


def merged(files: Sequence[Path]) -> list[ClaimRecord]:
    """Return the claims in `files`, the best worst case first.

    The same claim with different breaks is one claim with all of them.

    Raises:
        ClaimError: a file holds no claim, was tampered with, or holds one that another file holds, too.
    """
    seen: dict[str, Path] = {}
    found: dict[str, ClaimRecord] = {}
    for path in files:
        claim = read_claim(path)
        if claim.digest in seen:
            raise ClaimError(
                f"{path}: the claim in {seen[claim.digest]} once more; leave one of the files out"
            )
        seen[claim.digest] = path
        known = found.get(claim.identity)
        found[claim.identity] = claim if known is None else with_breaks(known, claim.breaks)
    return sorted(found.values(), key=standing, reverse=True)


def with_breaks(claim: ClaimRecord, breaks: Iterable[BreakRecord]) -> ClaimRecord:
    """Return a claim with further breaks, each once."""
    known = {one.submission: one for one in (*claim.breaks, *breaks)}
    return replace(claim, breaks=tuple(known.values())).sealed()


def submitted(claim: ClaimRecord, one: BreakRecord) -> ClaimRecord:
    """Return a claim with one more break.

    Raises:
        ClaimError: it was submitted before.
    """
    if any(each.submission == one.submission for each in claim.breaks):
        raise ClaimError(f"{one.name}: this submission is in the claim already, digest {one.submission[:12]}")
    return with_breaks(claim, (one,))


def standing(claim: ClaimRecord) -> tuple[bool, float]:
    """Return what claims are ordered by: unbroken ones first, by balanced accuracy under each seed's worst attack."""
    worst = claim.figures.get("worst balanced_accuracy")
    return not claim.broken, worst.mean if worst else 0.0
