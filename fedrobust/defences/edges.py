"""Images with repeated edge pixels."""

from typing import Any

from fedrobust.lazy import keras


def extended(images: Any, rows: int, columns: int, before: bool = False) -> Any:
    """Return images with `rows` more rows and `columns` more columns, which repeat the edge.

    Args:
        images: (n, height, width, channels).
        rows: added below.
        columns: added at the right.
        before: add as many above and at the left, too.

    Example:
        >>> import numpy as np
        >>> row = np.arange(3.0, dtype=np.float32).reshape(1, 1, 3, 1)
        >>> np.asarray(extended(row, 0, 1, before=True)).ravel().tolist()
        [0.0, 0.0, 1.0, 2.0, 2.0]
    """
    ops = keras.ops
    for axis, count in ((1, rows), (2, columns)):
        if count:
            first, last = (
                (images[:, :1], images[:, -1:]) if axis == 1 else (images[:, :, :1], images[:, :, -1:])
            )
            parts = [first] * (count * before) + [images] + [last] * count
            images = ops.concatenate(parts, axis=axis)
    return images
