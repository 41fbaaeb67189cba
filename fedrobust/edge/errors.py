"""The error of exports."""

from fedrobust.errors import FedrobustError


class ExportError(FedrobustError, RuntimeError):
    """A model cannot be exported, or the exported file has other tensor types than its format."""
