"""What the report cannot be made of."""

from fedrobust.errors import FedrobustError


class ReportError(FedrobustError, ValueError):
    """A run folder holds nothing that a report can be made of."""
