"""The images by which the server teaches its student."""

import numpy as np

from fedrobust.data.dataset import Dataset
from fedrobust.data.transfer_set import TransferSet
from fedrobust.errors import ConfigError


def transfer_images(
    dataset: Dataset, public: TransferSet | None, name: str
) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Return the transfer images, their labels if they are of the study's classes, and the transfer set's name.

    Args:
        dataset: the study's.
        public: the public images; None: the validation split.
        name: of the public data set as written in the study.
    """
    if public is None:
        return dataset.validation.images, dataset.validation.labels, "validation split"
    if public.image_shape != dataset.image_shape:
        raise ConfigError(
            f'distillation.public = "{name}": images of {public.image_shape}, the study\'s are {dataset.image_shape}'
        )
    if public.labels is None:
        return public.images, None, f"{public.name}, without labels"
    labels = public.labels if public.has_labels_of(dataset.label_names, dataset.multilabel) else None
    return public.images, labels, f"{public.name}, training split"
