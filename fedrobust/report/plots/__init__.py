"""The plots of the page, as Plotly figures."""

from fedrobust.report.plots.clients import by_client
from fedrobust.report.plots.detection import LINES, by_defence
from fedrobust.report.plots.epsilons import by_epsilon
from fedrobust.report.plots.heterogeneity import by_distance
from fedrobust.report.plots.rounded import rounded
from fedrobust.report.plots.rounds import by_round
from fedrobust.report.plots.style import NAMES

__all__ = ["LINES", "NAMES", "by_client", "by_defence", "by_distance", "by_epsilon", "by_round", "rounded"]
