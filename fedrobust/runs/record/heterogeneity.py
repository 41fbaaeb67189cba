"""The heterogeneity of clients, as ``result.json`` holds it."""

from fedrobust.runs.codec import entry, record


@record
class HeterogeneityRecord:
    """How far clients' training images are from independent draws of one distribution."""

    label_distance: tuple[float, ...] = entry(
        "total variation distance between the class distribution of each client and that of all, 0 to 1",
        default=(),
    )
    image_distance: tuple[float, ...] = entry(
        "distance between the mean image of each client and that of all, within classes, in standard deviations (root "
        "mean square over areas)",
        default=(),
    )
    images: tuple[int, ...] = entry("training images of each client", default=())
    label_index: float | None = entry("mean label distance over clients", default=None)
    image_index: float | None = entry("mean image distance over clients", default=None)
    random_label_index: float | None = entry(
        "the same of random divisions into clients of the same sizes", default=None
    )
    random_image_index: float | None = entry(
        "the same of random divisions, in which images of a class change places", default=None
    )
    size_gini: float | None = entry("Gini coefficient of the clients' numbers of images", default=None)
    label_differs: tuple[int, ...] = entry(
        "clients whose label distance is above that in 95 % of the random divisions", default=()
    )
    image_differs: tuple[int, ...] = entry(
        "clients whose image distance is above that in 95 % of the random divisions", default=()
    )
