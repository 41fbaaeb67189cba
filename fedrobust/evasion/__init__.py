"""Attacks on the inputs of a trained model: one file an attack. Importing this package registers them."""

from fedrobust.evasion.apgd import AutoPGDCrossEntropy, AutoPGDFocused, AutoPGDRatio, AutoPGDTargeted
from fedrobust.evasion.attack import ATTACKS, Attack, Attacked, Progress, attack, attack_named
from fedrobust.evasion.carlini_wagner import CarliniWagner
from fedrobust.evasion.deepfool import DeepFool
from fedrobust.evasion.ensemble import Ensemble
from fedrobust.evasion.fab import FAB, FABTargeted
from fedrobust.evasion.fgsm import FGSM
from fedrobust.evasion.fmn import FastMinimumNorm
from fedrobust.evasion.hop_skip_jump import HopSkipJump
from fedrobust.evasion.hunt import Hunt
from fedrobust.evasion.jsma import JSMA
from fedrobust.evasion.lbfgs import LBFGS
from fedrobust.evasion.noise import Noise
from fedrobust.evasion.one_pixel import OnePixel
from fedrobust.evasion.pgd import BIM, PGD, MomentumFGSM
from fedrobust.evasion.radial_probes import RadialProbes
from fedrobust.evasion.rays import RayS
from fedrobust.evasion.sigma_zero import SigmaZero
from fedrobust.evasion.smoothed_pgd import SmoothedPGD
from fedrobust.evasion.spsa import SPSA
from fedrobust.evasion.square import Square
from fedrobust.evasion.target import StraightThrough, Target, Tied, WhiteBox
from fedrobust.evasion.threat import Threat, ThreatError
from fedrobust.evasion.transfer import Transfer
from fedrobust.evasion.universal import Universal
from fedrobust.evasion.victim import NotDifferentiableError, Victim

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
    "CarliniWagner",
    "DeepFool",
    "Ensemble",
    "FABTargeted",
    "FastMinimumNorm",
    "HopSkipJump",
    "Hunt",
    "MomentumFGSM",
    "Noise",
    "NotDifferentiableError",
    "OnePixel",
    "Progress",
    "RadialProbes",
    "RayS",
    "SigmaZero",
    "SmoothedPGD",
    "Square",
    "StraightThrough",
    "Target",
    "Threat",
    "ThreatError",
    "Tied",
    "Transfer",
    "Universal",
    "Victim",
    "WhiteBox",
    "attack",
    "attack_named",
]
