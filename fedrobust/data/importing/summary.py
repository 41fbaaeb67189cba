"""What an import says: counts, decisions, duplicates."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.class_names import quoted
from fedrobust.data.duplicates import Duplicates
from fedrobust.data.importing.entry import SPLITS
from fedrobust.data.importing.options import ImportOptions
from fedrobust.data.importing.splits import Assigned, Names

LACKING = {
    "train": "it cannot be learnt",
    "val": "what validation images decide does not see it",
    "test": "its recall cannot be measured",
}
"""What follows where a class has no image in a split."""


def counted(rows: Names, splits: Names) -> dict[str, dict[str, int]]:
    """Return the number of images of each row, such as a class, in train, val and test.

    Example:
        >>> counted(np.array(["ill", "ill"]), np.array(["train", "test"]))
        {'ill': {'train': 1, 'val': 0, 'test': 1}}
    """
    return {
        str(row): {split: int(((rows == row) & (splits == split)).sum()) for split in SPLITS}
        for row in dict.fromkeys(rows.tolist())
    }


def duplicates_told(
    found: Duplicates,
    before: Names,
    assigned: Assigned,
    labels: NDArray[np.int64],
    names: Sequence[str],
    how: str,
) -> list[str]:
    """Return what was found about duplicates, and what was done.

    Args:
        found: in all images.
        before: splits that the source gives, empty where it gives none.
        assigned: the splits.
        labels: of the images.
        names: of the images.
        how: option `duplicates`.
    """
    if not len(found.pairs):
        return [
            "duplicates: none"
            if how != "exact"
            else "duplicates: none with equal pixels; near ones not searched"
        ]
    one, other = found.pairs[0]
    said = [
        f"duplicates: {len(found.exact)} exact, {len(found.near)} near, such as {names[one]} and {names[other]}"
    ]
    known = (before[found.pairs] != "").all(axis=1)
    leaking = int((before[found.pairs[:, 0]] != before[found.pairs[:, 1]])[known].sum())
    left = len(found.across(assigned.splits).pairs)
    if left:
        said.append(
            f"{left} of these pairs are in two splits, as asked (duplicates = {how}): test figures flatter"
        )
    elif leaking:
        first = names[assigned.moved[0]]
        said.append(
            f"{leaking} of these pairs were in two splits: {len(assigned.moved)} images moved to the other's split "
            f"({first}{', ...' if len(assigned.moved) > 1 else ''})"
        )
    else:
        said.append("each pair is in one split")
    apart = int((labels[found.pairs[:, 0]] != labels[found.pairs[:, 1]]).sum())
    if apart:
        pairs = found.pairs[labels[found.pairs[:, 0]] != labels[found.pairs[:, 1]]]
        said.append(
            f"{apart} of these pairs have two different labels, such as {names[pairs[0, 0]]} and {names[pairs[0, 1]]}: "
            "look at them"
        )
    return said


def splits_told(
    before: Names, assigned: Assigned, patients: Names, sites: Names, options: ImportOptions
) -> list[str]:
    """Return how the splits came about, and of how many images the patient is not known.

    Args:
        before: splits that the source gives, empty where it gives none.
        assigned: the splits.
        patients: of the images, empty where unknown.
        sites: of the images, empty where unknown.
        options: of the import.
    """
    unknown = int((patients == "").sum())
    by = ["patient"] * (unknown < len(patients)) + ["class"] + ["site"] * bool((sites != "").any())
    train, val, test = (f"{100 * share:.4g}" for share in options.shares)
    drawn = f"drawn {train}/{val}/{test} by {', '.join(by)}, seed {options.seed}"
    lacking = " and ".join(split for split in SPLITS if split not in before)
    if not assigned.drawn:
        told = "splits: as the source gives them"
    elif not (before != "").any():
        told = f"splits: {drawn}"
    elif (before == "").any():
        told = f"splits: as the source gives them; those of {assigned.drawn} images {drawn}"
    else:
        told = f"splits: as the source gives them; {lacking} {drawn} from its training images"
    if unknown == len(patients):
        return [told, "patients: not known; two images of one patient may be in two splits"]
    if unknown:
        return [
            told,
            f"patients: not known of {unknown} images, each of which counts as a patient of its own",
        ]
    return [told, "patients: each in one split"]


def few_told(classes: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a remark on each class that has images, but none in some split.

    Args:
        classes: number of images of each class in train, val and test.

    Example:
        >>> few_told({"rare": {"train": 2, "val": 0, "test": 0}, "ill": {"train": 7, "val": 1, "test": 2}})
        ["class 'rare': 2 images (train 2, val 0, test 0), none in val and test: what validation images decide does \
not see it; its recall cannot be measured"]
    """
    said = []
    for name, counts in classes.items():
        lacking = [split for split in SPLITS if not counts[split]]
        images = sum(counts.values())
        if lacking and images:
            each = ", ".join(f"{split} {count}" for split, count in counts.items())
            said.append(
                f"class {name!r}: {images} image{'s' * (images > 1)} ({each}), none in {' and '.join(lacking)}: "
                f"{'; '.join(LACKING[split] for split in lacking)}"
            )
    return said


def absent_told(names: Sequence[str], labels: NDArray[np.int64], splits: Names) -> list[str]:
    """Return a remark on classes without training images."""
    absent = [name for label, name in enumerate(names) if not ((labels == label) & (splits == "train")).any()]
    if not absent:
        return []
    return [
        f"no training image of {quoted(absent)}: the file can be one hospital's of several (data.clients, or a "
        "deployment), not a study's only one (data.name)"
    ]


def listed_faults(faults: Iterable[tuple[str, str]]) -> list[str]:
    """Return a line for each image that was left out."""
    return [f"left out: {name}: {reason}" for name, reason in faults]
