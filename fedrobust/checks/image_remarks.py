"""What a user is told of a study's images before its first round: sites that do not count, classes without tests."""

import warnings
from collections.abc import Iterable, Iterator

from fedrobust.config.messages import shown
from fedrobust.config.sections import Data
from fedrobust.data.class_names import quoted
from fedrobust.data.dataset import Dataset
from fedrobust.data.partition import method_named
from fedrobust.study import Study

MOST_NAMED = 5
"""Classes that a remark names."""


class StudyNotice(UserWarning):
    """What a user is told of a study that is not run yet, or whose runs are not shown one by one."""


def image_remarks(study: Study, divided: bool = True) -> list[str]:
    """Return remarks on a study's images, a sentence each.

    Args:
        study: passes its checks.
        divided: whether the training images are divided over clients, as in a simulation.
    """
    given, dataset = study.experiment, study.dataset
    unheeded = _unheeded_sites(given.data, given.federation.clients, dataset) if divided else ()
    return [*dataset.remarks, *unheeded, *_absent_classes(dataset)]


def tell_of_images(studies: Iterable[Study]) -> None:
    """Tell the remarks on the images of several studies, each once.

    Warns:
        StudyNotice: there is one.
    """
    for remark in dict.fromkeys(remark for study in studies for remark in image_remarks(study)):
        warnings.warn(remark, StudyNotice, stacklevel=3)


def _unheeded_sites(data: Data, clients: int, dataset: Dataset) -> Iterator[str]:
    """Yield a remark where training images of known sites are divided over clients otherwise than by site."""
    sites = dataset.sites
    if clients == 1 or sites is None or len(sites.names) < 2:
        return
    if getattr(method_named(data.partition), "NEEDS_SITES", False):
        return
    yield (
        f"data.partition = {shown(data.partition)}: {dataset.name} records {len(sites.names)} sites ({sites.listed}), "
        "which do not count in this division; to make each site a client: --set data.partition=site "
        f"--set federation.clients={len(sites.names)}"
    )


def _absent_classes(dataset: Dataset) -> Iterator[str]:
    """Yield a remark on classes or findings without a validation image, and one on those without a test image.

    Without a training image the data set is refused.
    """
    kind, each = ("finding", "figure") if dataset.multilabel else ("class", "recall")
    for split, what, follows in (
        (
            dataset.validation,
            "validation",
            "which nothing that is chosen by validation images takes into account",
        ),
        (dataset.test, "test", f"of which no {each} can be measured: means are over the others"),
    ):
        counts = dataset.counts(split)
        names = [name for name, count in zip(dataset.label_names, counts, strict=True) if not count]
        if names:
            yield f"{dataset.name} has no {what} image of the {kind} {quoted(names, MOST_NAMED)}, {follows}"
