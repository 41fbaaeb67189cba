"""The threads engine: workers are threads of this process.

The compiled local update releases the interpreter lock, so that threads run in parallel; nothing is serialised.
"""

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedrobust.engines.worker import WorkerDiedError
from fedrobust.flower.guard import private_copy


class ThreadWorker:
    """A worker that runs the client app in the calling thread.

    Args:
        client_app: the ClientApp that every node runs.
    """

    def __init__(self, client_app: ClientApp):
        self._app = client_app

    def answer(self, message: Message, context: Context) -> Message:
        """Return the reply of the node's app."""
        try:
            return self._app(private_copy(message), context)
        except WorkerDiedError as error:
            raise RuntimeError(
                "the client app raised WorkerDiedError, which only an engine may raise"
            ) from error

    def close(self) -> None:
        """Do nothing: a thread cannot be stopped; it ends after its reply."""
