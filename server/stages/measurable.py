"""The error of a model whose logits are not finite, by the model's name."""

from collections.abc import Iterator
from contextlib import contextmanager

from fedrobust.evaluation.metrics import NotFiniteError
from server.errors import UnmeasurableError


@contextmanager
def measurable(name: str) -> Iterator[None]:
    """Name the model whose logits turn out not to be finite within the block.

    Raises:
        UnmeasurableError: they are not.
    """
    try:
        yield
    except NotFiniteError as error:
        raise UnmeasurableError(f"{name} cannot be measured: {error}") from error
