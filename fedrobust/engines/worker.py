"""What answers messages in a simulation, one at a time: the contract of threads and of Ray's processes."""

from typing import Protocol

from flwr.app import Context, Message

from fedrobust.errors import FedrobustError


class EngineError(FedrobustError, RuntimeError):
    """An engine cannot start, or cannot go on."""


class WorkerDiedError(Exception):
    """A worker is gone; the message it had is to be answered by another."""


class Worker(Protocol):
    """Something that answers messages, one at a time."""

    def answer(self, message: Message, context: Context) -> Message:
        """Return the reply of the node behind `context`.

        Raises:
            WorkerDiedError: the worker is gone.
        """
        ...

    def close(self) -> None:
        """Stop at once, also in the middle of an answer where that is possible."""
        ...
