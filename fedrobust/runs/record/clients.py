"""What the models of a run are worth to its clients, as ``result.json`` holds it."""

from fedrobust.runs.codec import entry, record
from fedrobust.runs.record.metrics import Interval


@record
class ClientModelRecord:
    """One model on the test images, weighted by one client's class mix."""

    accuracy: float = entry("recall of every class, weighted by its share of the client's training images")
    balanced_accuracy: float = entry("mean recall over the client's classes", key="balanced_accuracy")
    auc: float | None = entry(
        "on all test images, of all classes; null where the model answers with numbers that are not finite",
        default=None,
    )


@record
class ClientComparisonRecord:
    """What the global, the personal and the local model are worth to one client."""

    client: int = entry("its number")
    images: int = entry("its training images", default=0)
    global_model: ClientModelRecord | None = entry("the selected global model", default=None)
    personal: ClientModelRecord | None = entry(
        "the model that the client uses itself, after the last round; null where the algorithm has none",
        default=None,
    )
    local: ClientModelRecord | None = entry(
        "trained on the client's images alone, in as many steps; null where it was not asked for",
        default=None,
    )
    gain: float | None = entry(
        "accuracy of the personal model, or else of the global one, less that of the local model",
        default=None,
    )
    interval: Interval | None = entry("of the gain, by the test images that they share", default=None)


@record
class ClientsComparisonRecord:
    """What the models are worth to each of some clients."""

    population: int = entry("honest clients of the study", default=0)
    clients: tuple[ClientComparisonRecord, ...] = entry("those that were measured", default=())
    confidence: float = entry(
        "of each interval, such that all hold together with 95 % (Bonferroni)", default=0.95
    )
    worse: tuple[int, ...] = entry(
        "clients whose interval lies below 0: the federation makes them worse than training alone", default=()
    )
    better: tuple[int, ...] = entry("clients whose interval lies above 0", default=())
