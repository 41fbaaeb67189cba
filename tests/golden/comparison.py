"""Two documents compared field by field: to the bit on the machine that recorded, within tolerances elsewhere."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedrobust.runs.environment import environment

LEFT_OUT = frozenset(
    {
        *("seconds", "training-seconds", "rule-seconds", "latency_ms", "date"),
        *("environment", "forecast", "folder", "dir", "version"),
    }
)
"""Names of fields that differ between two runs of the same code: times, dates, machines, paths, versions."""

LEFT_OUT_ELSEWHERE = frozenset({"broken-by", "gradients", "queries", "points"})
"""What changes by whole steps where last bits differ: which attacks broke an image, how many gradients and queries a
search took until it stopped, and the corners of a ROC curve."""

SIZES = 0.05
"""How far sizes of exported files, ``bytes``, may be apart elsewhere: TensorFlow's versions differ by a per cent."""


@dataclass(frozen=True)
class Tolerance:
    """How far numbers may be apart where the last bits of floats differ.

    Measured with other kernels for the same arithmetic (``TF_ENABLE_ONEDNN_OPTS=0 OPENBLAS_CORETYPE=Haswell``) against
    the machine's own; each bound is at least twice the largest distance seen.

    Attributes:
        numbers: relative to the larger one where that is above 1, else absolute.
        counts: of whole numbers.
    """

    numbers: float
    counts: int


ARRAYS = Tolerance(numbers=1e-6, counts=0)
"""Families on arrays: 4e-9 was the largest relative distance, and no count changed."""

ATTACKS = Tolerance(numbers=1e-4, counts=0)
"""Attacks on a fixed network: 1.2e-5 was the largest relative distance, between an Intel and an AMD processor."""

STUDIES = Tolerance(numbers=0.03, counts=5)
"""Two rounds of training: 0.006 was the largest distance, of the interval of a recall; one answer of 500 changed."""

AUDITS = Tolerance(numbers=0.5, counts=25)
"""A student learns from a model that differs, and audits look at 24 to 40 images: 0.2 was the largest distance, of the
interval of a calibration error, and 8 answers of 500 changed."""

_DIGEST = re.compile(r"[0-9a-f]{8,64}")


def machine() -> dict[str, str]:
    """Return what the last bits of floats depend on: the processor's instructions and the numerical packages.

    The processor's name is not enough: virtual machines give one name to several generations.
    """
    about = environment(workers=1)
    names = ("system", "processor", "tensorflow", "keras", "numpy", "scipy", "scikit-learn", "ai-edge-litert")
    return {name: str(about[name]) for name in names if name in about} | {"instructions": _instructions()}


def _instructions(table: Path = Path("/proc/cpuinfo")) -> str:
    """Return a digest of the processor's instruction sets; empty where Linux' table is missing."""
    try:
        lines = table.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    flags = next(
        (line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), []
    )
    return hashlib.sha256(" ".join(sorted(flags)).encode()).hexdigest()[:16]


def differences(
    recorded: Any, found: Any, tolerance: Tolerance | None = None, where: str = ""
) -> Iterator[str]:
    """Yield a line for each field in which two JSON documents differ.

    Args:
        recorded: the golden document.
        found: what the code makes now.
        tolerance: None asks for equal values. Otherwise keys, types, lengths and single words must be equal and numbers
            lie within it; digests need only be digests, and sentences, which tell numbers, only be sentences.
        where: path of the field.

    Example:
        >>> list(differences({"loss": 0.5, "seconds": 3}, {"loss": 0.7, "seconds": 4}))
        ['loss: 0.5 recorded, 0.7 found']
        >>> list(differences([0.5, "a"], [0.51, "b"], STUDIES))
        ["[1]: 'a' recorded, 'b' found"]
    """
    if isinstance(recorded, dict) and isinstance(found, dict):
        left_out = LEFT_OUT if tolerance is None else LEFT_OUT | LEFT_OUT_ELSEWHERE
        for name in sorted((recorded.keys() | found.keys()) - left_out):
            place = f"{where}.{name}" if where else name
            if name not in recorded or name not in found:
                yield f"{place}: {'recorded only' if name in recorded else 'found only'}"
            else:
                yield from differences(recorded[name], found[name], tolerance, place)
    elif isinstance(recorded, list) and isinstance(found, list) and len(recorded) == len(found):
        for number, (one, other) in enumerate(zip(recorded, found, strict=True)):
            yield from differences(one, other, tolerance, f"{where}[{number}]")
    elif tolerance is not None and where.endswith(".bytes") and isinstance(recorded, int):
        if not isinstance(found, int) or abs(recorded - found) > SIZES * recorded:
            yield f"{where}: {_shown(recorded)} recorded, {_shown(found)} found"
    elif type(recorded) is not type(found) or not _alike(recorded, found, tolerance):
        yield f"{where}: {_shown(recorded)} recorded, {_shown(found)} found"


def _alike(recorded: Any, found: Any, tolerance: Tolerance | None) -> bool:
    if tolerance is None or isinstance(recorded, bool):
        return bool(recorded == found)
    if isinstance(recorded, int):
        return abs(recorded - found) <= tolerance.counts
    if isinstance(recorded, float):
        return abs(recorded - found) <= tolerance.numbers * max(1.0, abs(recorded), abs(found))
    if isinstance(recorded, str):
        return _kind(recorded) == _kind(found)
    return bool(recorded == found)


def _kind(text: str) -> str:
    """Return what has to be equal of a text: the word that it is, or that it is a digest or a sentence."""
    if _DIGEST.fullmatch(text):
        return "a digest"
    return "a sentence" if " " in text else text


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
