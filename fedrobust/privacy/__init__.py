"""Differential privacy, its accounting, and other postprocessors of updates, at clients and at the server."""

from fedrobust.privacy.accounting import Releases, epsilon_by_pld, epsilon_by_rdp, noise_for
from fedrobust.privacy.adaptive_gaussian_dp import AdaptiveGaussianDP
from fedrobust.privacy.budget import BudgetError, PrivacyBudget, Update
from fedrobust.privacy.calibration import calibrated
from fedrobust.privacy.clip import Clip
from fedrobust.privacy.cohort import Cohort
from fedrobust.privacy.contract import (
    POSTPROCESSORS,
    Counted,
    Postprocessor,
    at_client,
    at_server,
    changes_aggregates,
    changes_models,
    looks_at_replies,
    on_arrival,
    on_model,
    promise_of,
)
from fedrobust.privacy.crfl import CRFL
from fedrobust.privacy.dp_sgd import DPSGD
from fedrobust.privacy.gaussian_dp import GaussianDP
from fedrobust.privacy.promise import Promise

__all__ = [
    "CRFL",
    "DPSGD",
    "POSTPROCESSORS",
    "AdaptiveGaussianDP",
    "BudgetError",
    "Clip",
    "Cohort",
    "Counted",
    "GaussianDP",
    "Postprocessor",
    "PrivacyBudget",
    "Promise",
    "Releases",
    "Update",
    "at_client",
    "at_server",
    "calibrated",
    "changes_aggregates",
    "changes_models",
    "epsilon_by_pld",
    "epsilon_by_rdp",
    "looks_at_replies",
    "noise_for",
    "on_arrival",
    "on_model",
    "promise_of",
]
