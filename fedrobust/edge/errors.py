"""The errors of exports."""

from fedrobust.errors import FedrobustError


class ExportError(FedrobustError, RuntimeError):
    """A model cannot be exported, or the exported file has other tensor types than its format."""


class NoIntegerFormError(ExportError):
    """A model cannot be written with integer activations; formats with floating point may hold it.

    Attributes:
        format: the format.
    """

    def __init__(self, message: str, format: str):
        super().__init__(message)
        self.format = format
