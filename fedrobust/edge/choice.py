"""Which exported file to take, and the alarm where a format changes too many answers."""

from collections.abc import Sequence

from fedrobust.edge.result import EdgeResult

MOST_CHANGED = 0.02
"""Share of the answers from which on a file is not recommended."""

ORDER = ("int8", "dynamic", "int16x8", "float16", "float32")
"""Formats by preference: whole numbers from input to output, then small files, then exact ones."""

FALLBACKS = ("dynamic", "float16")
"""What int8 is replaced by where it changes too many answers, in this order: int8 weights with float32 activations,
then float16 weights."""


def changes_too_many(result: EdgeResult) -> bool:
    """Return whether the file's answers differ from the model's on more than `MOST_CHANGED` of the images."""
    return result.changed > MOST_CHANGED * result.metrics.n


def alarm(result: EdgeResult) -> str:
    """Return the warning about a file that changes too many answers; empty for another one."""
    if not changes_too_many(result):
        return ""
    return (
        f"{result.file} changes {result.changed:,} of {result.metrics.n:,} answers of the model "
        f"({1 - result.agreement:.1%}); at most {MOST_CHANGED:.0%} is taken as the same model."
    )


def chosen(results: Sequence[EdgeResult]) -> EdgeResult | None:
    """Return the file to take: the first in `ORDER` that changes few answers; None if each changes too many.

    An ONNX file is for another runtime: it is never chosen before a LiteRT file.
    """
    fit = [one for one in results if not changes_too_many(one)]
    places = {name: place for place, name in enumerate(ORDER)}
    return min(fit, key=lambda one: places.get(one.format, len(places)), default=None)


def fallback(results: Sequence[EdgeResult], refused: bool = False) -> str:
    """Return the format to export next, because int8 changes too many answers or has no form; empty: none.

    Args:
        results: of the files so far.
        refused: whether int8 was asked for and cannot be written.
    """
    there = {one.format: one for one in results}
    if not refused and ("int8" not in there or not changes_too_many(there["int8"])):
        return ""
    if any(name in there and not changes_too_many(there[name]) for name in ("dynamic", "int16x8", "float16")):
        return ""
    return next((name for name in FALLBACKS if name not in there), "")
