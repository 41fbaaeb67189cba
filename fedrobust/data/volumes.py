"""Volumes (3-D data sets), which are refused: names of MedMNIST's, and what to do instead."""

VOLUMES = (
    "these are volumes (3-D), for which there are no networks, augmentations and attacks here; save slices of them as "
    "images, with each volume as a patient"
)
"""Why volumes are refused, and what to do."""


def is_volume_name(name: str) -> bool:
    """Return whether `name` is that of a 3-D MedMNIST set or of its file.

    Example:
        >>> is_volume_name("OrganMNIST3D"), is_volume_name("data/nodulemnist3d_64.npz"), is_volume_name("organamnist")
        (True, True, False)
    """
    stem = name.lower().replace("\\", "/").rpartition("/")[2].removesuffix(".npz")
    return stem.removesuffix("_64").endswith("mnist3d")
