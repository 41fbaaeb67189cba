"""The contract of workers, which run nodes' apps in a simulation: threads, or processes of Ray."""

from typing import Protocol

from flwr.app import Context, Message

from fedrobust.errors import FedrobustError


class EngineError(FedrobustError, RuntimeError):
    """An engine cannot start or cannot continue."""


class NoPlaceError(EngineError):
    """There is no place for another worker now: a machine of the cluster is lost, or busy."""


class WorkerDiedError(Exception):
    """A worker died; another worker has to process its message."""


class Worker(Protocol):
    """Processes messages to nodes, one at a time."""

    def answer(self, message: Message, context: Context) -> Message:
        """Return the reply of the node behind `context`.

        Raises:
            WorkerDiedError: the worker died.
        """
        ...

    def close(self) -> None:
        """Stop immediately, also while a message is processed if possible."""
        ...
