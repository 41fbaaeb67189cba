"""How weights travel: one record with two float32 vectors."""

from flwr.app import Array, ArrayRecord

from fedrobust.models.layout import Weights


def weights_record(weights: Weights) -> ArrayRecord:
    """Return `weights` as a record with the arrays ``trainable`` and ``statistics``."""
    return ArrayRecord({"trainable": Array(weights.trainable), "statistics": Array(weights.statistics)})


def weights_of(record: ArrayRecord) -> Weights:
    """Return the weights in a record that this program made itself; a client's is read by the server's checks."""
    return Weights(record["trainable"].numpy(), record["statistics"].numpy())
