"""The threads engine: workers are threads of this process.

The compiled local update releases Python's lock, so threads are enough; nothing is pickled, forked or sent.
"""

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedrobust.engines.worker import WorkerDiedError
from fedrobust.flower.guard import private_copy


class ThreadWorker:
    """Answers in the thread that calls it.

    Args:
        client_app: what every node runs.
    """

    def __init__(self, client_app: ClientApp):
        self._app = client_app

    def answer(self, message: Message, context: Context) -> Message:
        """Return what the node's app answers."""
        try:
            return self._app(private_copy(message), context)
        except WorkerDiedError as error:
            raise RuntimeError("the client app says that its worker died, and it did not") from error

    def close(self) -> None:
        """Do nothing: a thread cannot be stopped, it ends with its answer."""
