"""Labels from the gradient of the last layer's bias."""

import numpy as np
from numpy.typing import NDArray


def restored_labels(
    slope: NDArray[np.floating], answers: NDArray[np.floating], images: int
) -> NDArray[np.int32]:
    """Return the labels of a batch, ascending, from the mean gradient of the cross-entropy by the last layer's bias.

    That gradient is mean(softmax) - share of each class, so that the shares are mean(softmax) less the gradient. The
    mean softmax is not known and is replaced by that of other images (Geng et al., 2021, arXiv:2110.09074, section
    3.2); the counts are rounded by the largest remainder. For one image it is the only class with a negative gradient,
    exactly (iDLG: Zhao et al., 2020, arXiv:2001.02610, equation 3).

    Args:
        slope: (classes,).
        answers: mean softmax of the model over other images, (classes,).
        images: of the batch.

    Example:
        >>> restored_labels(np.array([0.3, -0.7, 0.4]), np.full(3, 1 / 3), images=1).tolist()
        [1]
        >>> restored_labels(np.array([0.5, 0.5]) - np.array([0.75, 0.25]), np.array([0.5, 0.5]), images=4).tolist()
        [0, 0, 0, 1]
    """
    if images == 1:
        return np.array([np.argmin(slope)], np.int32)
    counts = np.clip(images * (np.asarray(answers) - slope), 0, None)
    counts *= images / max(counts.sum(), 1e-12)
    whole = np.floor(counts).astype(int)
    order = np.argsort(whole - counts, kind="stable")
    whole[order[: images - whole.sum()]] += 1
    return np.repeat(np.arange(len(whole)), whole).astype(np.int32)
