"""Evasion attacks: adversarial examples against a trained model, one file an attack.

Names that open or run a model start TensorFlow; they are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fedrobust.evasion.attacks.ensemble import Ensemble
from fedrobust.evasion.attacks.gradient.apgd import (
    AutoPGDCrossEntropy,
    AutoPGDFocused,
    AutoPGDRatio,
    AutoPGDTargeted,
)
from fedrobust.evasion.attacks.gradient.fgsm import FGSM
from fedrobust.evasion.attacks.gradient.pgd import BIM, PGD, MomentumFGSM
from fedrobust.evasion.attacks.gradient.smoothed_pgd import SmoothedPGD
from fedrobust.evasion.attacks.minimum_norm.carlini_wagner import CarliniWagner
from fedrobust.evasion.attacks.minimum_norm.deepfool import DeepFool
from fedrobust.evasion.attacks.minimum_norm.fab import FAB, FABTargeted
from fedrobust.evasion.attacks.minimum_norm.fmn import FastMinimumNorm
from fedrobust.evasion.attacks.minimum_norm.jsma import JSMA
from fedrobust.evasion.attacks.minimum_norm.lbfgs import LBFGS
from fedrobust.evasion.attacks.minimum_norm.sigma_zero import SigmaZero
from fedrobust.evasion.attacks.query.hop_skip_jump import HopSkipJump
from fedrobust.evasion.attacks.query.noise import Noise
from fedrobust.evasion.attacks.query.one_pixel import OnePixel
from fedrobust.evasion.attacks.query.radial_probes import RadialProbes
from fedrobust.evasion.attacks.query.rays import RayS
from fedrobust.evasion.attacks.query.spsa import SPSA
from fedrobust.evasion.attacks.query.square import Square
from fedrobust.evasion.attacks.transfer import Transfer
from fedrobust.evasion.attacks.universal import Universal
from fedrobust.evasion.contract import ATTACKS, Attack, attack_named
from fedrobust.evasion.models.protocol import TargetModel
from fedrobust.evasion.models.wrappers import StraightThrough, Tied
from fedrobust.evasion.run import Attacked, Progress, attack
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Threat, ThreatError

if TYPE_CHECKING:
    from fedrobust.evasion.models.bound import BoundModel
    from fedrobust.evasion.models.compiled import CompiledModel, NotDifferentiableError
    from fedrobust.evasion.models.model_file import open_model

__all__ = [
    "ATTACKS",
    "BIM",
    "FAB",
    "FGSM",
    "JSMA",
    "LBFGS",
    "PGD",
    "SPSA",
    "Attack",
    "Attacked",
    "AutoPGDCrossEntropy",
    "AutoPGDFocused",
    "AutoPGDRatio",
    "AutoPGDTargeted",
    "BoundModel",
    "CarliniWagner",
    "CompiledModel",
    "DeepFool",
    "Ensemble",
    "FABTargeted",
    "FastMinimumNorm",
    "HopSkipJump",
    "MomentumFGSM",
    "Noise",
    "NotDifferentiableError",
    "OnePixel",
    "Progress",
    "RadialProbes",
    "RayS",
    "SearchState",
    "SigmaZero",
    "SmoothedPGD",
    "Square",
    "StraightThrough",
    "TargetModel",
    "Threat",
    "ThreatError",
    "Tied",
    "Transfer",
    "Universal",
    "attack",
    "attack_named",
    "open_model",
]

_ON_FIRST_USE = {
    "NotDifferentiableError": "compiled",
    "CompiledModel": "compiled",
    "BoundModel": "bound",
    "open_model": "model_file",
}
"""Names of this package that start TensorFlow, and the module of `fedrobust.evasion.models` that has each."""


def __getattr__(name: str) -> Any:
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.models.{_ON_FIRST_USE[name]}"), name)
