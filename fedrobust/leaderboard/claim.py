"""A claim: what one defence holds in one setting, after RobustBench (Croce et al., 2021, arXiv:2010.09670)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedrobust.atomic import atomic
from fedrobust.errors import FedrobustError
from fedrobust.runs.codec import RecordError, entry, read, record, to_json

SCHEMA = 1
ENDING = ".claim.json"
"""Of the names of claims' files."""


class ClaimError(FedrobustError, ValueError):
    """A claim, or a submission against one, cannot be accepted."""


@record
class ClaimedFigure:
    """A metric over seeds."""

    mean: float = entry("over the seeds")
    low: float | None = entry(
        "lower limit of the mean's 95 % interval (Student's t), cut off at 0; null with one seed",
        default=None,
    )
    high: float | None = entry("upper limit, cut off at 1", default=None)
    values: tuple[float, ...] = entry("of each seed, in the order of ``seeds``", default=())


@record
class ClaimedModel:
    """A model that the claim is about; others may submit adversarial images of it."""

    seed: int = entry("of the study")
    attack: str = entry("the poisoning attack that it was trained under; ``none``: without one")
    file: str = entry("its path from the folder of the claim's file")
    digest: str = entry("SHA-256 of the file")


@record
class BreakRecord:
    """A break that others submitted, as it was measured here."""

    kind: str = entry("adversarial images of a model, or a malicious client", choices=("images", "client"))
    submission: str = entry("SHA-256 of the submitted file, or of the client's code")
    name: str = entry("name of the submitted file, or of the client's class")
    holds: bool = entry(
        "whether the claim is broken: less accuracy is left than it states, or the client does more than its attacks"
    )
    model: str = entry("SHA-256 of the attacked model's file; empty for a client", default="")
    epsilon: float | None = entry(
        "largest change of a grey level, as a share of the range; null for a client", default=None
    )
    images: int = entry("submitted images within epsilon", default=0)
    broken: int = entry(
        "those among them that the model classified correctly before, and no longer does; multi-label: to whose "
        "findings it gives fewer right answers than before",
        default=0,
    )
    accuracy: float | None = entry(
        "share of all test images (multi-label: of answers) that are still correct: an upper bound of the robust "
        "accuracy; null for a client",
        default=None,
    )
    figures: Mapping[str, ClaimedFigure] = entry(
        "what the client makes of the models; empty for images", default_factory=dict
    )


@record
class ClaimRecord:
    """What one defence holds in one setting, under every attack that was tried."""

    schema: int = entry("version of this shape", default=SCHEMA)
    setting: Mapping[str, Any] = entry(
        "the study without defence, attack and seed, every setting by section; of the engine a time limit that is set"
    )
    defence: Mapping[str, Any] = entry("settings of ``[federation]`` that make the defence")
    name: str = entry("of the defence: pre-aggregators, rule, server optimiser")
    worst_attack: Mapping[str, str] = entry("metric -> the attack with the worst mean")
    figures: Mapping[str, ClaimedFigure] = entry(
        "metrics without an attack, and ``worst`` ones: of each seed's worst attack"
    )
    attacks: Mapping[str, Mapping[str, ClaimedFigure]] = entry("metrics under each attack")
    seeds: tuple[int, ...] = entry("of the studies")
    models: tuple[ClaimedModel, ...] = entry("the models without an attack", default=())
    data: str = entry("SHA-256 of images and labels")
    files: Mapping[str, str] | None = entry(
        "digest of each other file that the setting names: of a network, of weights, of public images, of the names of "
        "classes, as the run read them, and of own modules, as they are when the claim is made; left out without any",
        default=None,
        left_out=True,
    )
    versions: Mapping[str, str] = entry("of fedrobust, its code, and the packages that compute")
    unreliable: tuple[str, ...] = entry(
        "why the figures may be better than the truth; empty: no such reason is known"
    )
    footnote: str = entry("a remark by those who claim", default="")
    breaks: tuple[BreakRecord, ...] = entry("breaks that others submitted", default=())
    digest: str = entry("SHA-256 of all other keys", default="")

    @property
    def identity(self) -> str:
        """What is claimed, without breaks: claims that differ in breaks alone are the same one."""
        return digest_of(replace(self, breaks=()))

    @property
    def broken(self) -> bool:
        """Whether a submitted break holds."""
        return any(one.holds for one in self.breaks)

    def sealed(self) -> "ClaimRecord":
        """Return the claim with the digest of its present content."""
        return replace(self, digest=digest_of(self))


def digest_of(claim: ClaimRecord) -> str:
    """Return the SHA-256 of a claim's content, without its own digest."""
    content = {key: value for key, value in to_json(claim).items() if key != "digest"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_claim(path: Path) -> ClaimRecord:
    """Return the claim in a file.

    Raises:
        ClaimError: it cannot be read, a key has a wrong value, or the content is not that of its digest.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        schema = content.get("schema") if isinstance(content, Mapping) else None
        if schema != SCHEMA or isinstance(schema, bool):
            raise ClaimError(f"{path}: schema = {schema!r}, this version of fedrobust reads {SCHEMA}")
        claim = read(ClaimRecord, content)
    except (OSError, RecordError, UnicodeError, json.JSONDecodeError, RecursionError) as error:
        raise ClaimError(f"{path}: no claim ({error})") from error
    if claim.digest != digest_of(claim):
        raise ClaimError(
            f"{path}: its content is not that of its digest: it was changed after it was written; take the claim from "
            "whoever made it, or make it anew: fedrobust bench --leaderboard SWEEP"
        )
    return claim


def write_claim(claim: ClaimRecord, path: Path) -> Path:
    """Write a claim with its digest, atomically."""
    text = json.dumps(to_json(claim.sealed()), indent=2, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as draft:
        draft.write_text(text + "\n", encoding="utf-8")
    return path


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
