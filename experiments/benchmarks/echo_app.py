"""Clients that send back what they were sent: what is left is what a carrier costs. Flower's public interface only."""

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.query()
def ready(message: Message, context: Context) -> Message:
    """Answer nothing: the worker is up."""
    return Message(RecordDict({"answer": ConfigRecord()}), reply_to=message)


@app.train()
def echo(message: Message, context: Context) -> Message:
    """Decode the arrays, and encode them again."""
    arrays = message.content.array_records["weights"].to_numpy_ndarrays()
    record = RecordDict({"weights": ArrayRecord(arrays), "metrics": MetricRecord({"num-examples": 1})})
    return Message(record, reply_to=message)
