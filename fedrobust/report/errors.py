"""The error of a run folder from which no report can be made."""

from fedrobust.errors import FedrobustError


class ReportError(FedrobustError, ValueError):
    """No report can be made from a run folder."""
