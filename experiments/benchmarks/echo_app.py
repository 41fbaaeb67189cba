"""Clients that send back what they were sent: what is left is what a carrier costs."""

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedrobust.flower.records import LiveArray

app, own_app = ClientApp(), ClientApp()


@own_app.query()
@app.query()
def ready(message: Message, context: Context) -> Message:
    """Answer nothing: the worker is up."""
    return Message(RecordDict({"answer": ConfigRecord()}), reply_to=message)


@app.train()
def echo(message: Message, context: Context) -> Message:
    """Decode the arrays, and encode them again, through Flower's public interface."""
    arrays = message.content.array_records["weights"].to_numpy_ndarrays()
    record = RecordDict({"weights": ArrayRecord(arrays), "metrics": MetricRecord({"num-examples": 1})})
    return Message(record, reply_to=message)


@own_app.train()
def own_echo(message: Message, context: Context) -> Message:
    """Decode the arrays into new ones, and send these, as this project's clients do."""
    weights = ArrayRecord()
    for name, array in message.content.array_records["weights"].items():
        weights[name] = LiveArray(array.numpy())
    record = RecordDict({"weights": weights, "metrics": MetricRecord({"num-examples": 1})})
    return Message(record, reply_to=message)
