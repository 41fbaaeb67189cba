"""Attacked test images of a run folder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ExampleImages:
    """Test images under growing epsilon.

    Args:
        images: (k, E + 1, height, width, channels) in [0, 1]; the first column is clean.
        probabilities: (k, E + 1, classes), of the model.
        labels: (k,), true classes.
        epsilons: (E + 1,), size of the perturbation in every column.
        names: (E + 1,), the same as written in the study.
    """

    images: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]
    epsilons: NDArray[np.float64]
    names: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> "ExampleImages":
        """Load ``examples.npz``.

        Raises:
            ValueError: the shapes of the arrays do not match.
        """
        with np.load(path, allow_pickle=False) as arrays:
            examples = cls(
                images=np.asarray(arrays["images"], np.float32),
                probabilities=np.asarray(arrays["probabilities"], np.float32),
                labels=np.asarray(arrays["labels"], np.int64),
                epsilons=np.asarray(arrays["epsilons"], np.float64),
                names=tuple(str(name) for name in arrays["epsilon_names"]),
            )
        images, columns = examples.images.shape, len(examples.names)
        if len(images) != 5 or images[4] not in (1, 3):
            raise ValueError(f"images {images} are not (k, E + 1, height, width, 1 or 3)")
        if examples.probabilities.ndim != 3 or examples.probabilities.shape[:2] != images[:2]:
            raise ValueError(f"probabilities {examples.probabilities.shape} do not fit images {images}")
        if (
            examples.labels.shape != images[:1]
            or examples.epsilons.shape != (columns,)
            or columns != images[1]
        ):
            raise ValueError(f"labels or epsilons do not fit images {images}")
        return examples
