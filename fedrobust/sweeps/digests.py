"""Digests of the files that a run read, as settings: a file that changed keeps its name in the study."""

from collections.abc import Mapping
from typing import Any

from fedrobust.runs.record import RunRecord

IMAGES = (
    "data.name",
    "data.clients",
    "data.held-out-sites",
    "data.size",
    "data.train-share",
    "data.train-draw",
    "data.classes",
    "data.multilabel",
    "data.channels",
    "data.samples",
)
"""Settings that determine the images and their labels; of phantoms also the seed."""

NAMED_BY = {
    "data.digest": IMAGES,
    "model.network-digest": ("model.name",),
    "file-digests.weights": ("model.weights",),
    "file-digests.public": ("distillation.enabled", "distillation.public"),
    "file-digests.annotations": IMAGES,
}
"""Key of a digest -> the settings that determine what was read, as long as no file changes."""

DIGITS = 12
"""Number of a digest's digits that are shown."""


def digests_of(run: RunRecord | None) -> dict[str, str]:
    """Return the digests in a run's record by the keys of `NAMED_BY`, those that it has.

    Example:
        >>> digests_of(RunRecord(status="finished", file_digests={"weights": "b" * 12}))
        {'file-digests.weights': 'bbbbbbbbbbbb'}
        >>> digests_of(None)
        {}
    """
    if run is None:
        return {}
    found = {
        "data.digest": run.dataset.digest if run.dataset else "",
        "model.network-digest": (run.model.network_digest if run.model else None) or "",
        **{f"file-digests.{what}": digest for what, digest in (run.file_digests or {}).items()},
    }
    return {key: digest for key, digest in found.items() if digest}


def named(study: Mapping[str, Any], key: str) -> str:
    """Return the settings by which a study names what the digest `key` is of, as text.

    Args:
        study: its settings, by dotted keys.
        key: of `NAMED_BY`.

    Example:
        >>> named({"model.name": "mine.keras", "seed": 1}, "model.network-digest")
        "['mine.keras']"
    """
    keys = NAMED_BY[key]
    drawn = keys is IMAGES and study.get("data.name") == "phantom"
    return str([study.get(one) for one in ((*keys, "seed") if drawn else keys)])
