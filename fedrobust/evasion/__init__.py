"""Attacks on the inputs of a trained model: one file an attack. Importing this package registers them."""

from fedrobust.evasion.apgd import AutoPGDCrossEntropy, AutoPGDRatio, AutoPGDTargeted
from fedrobust.evasion.attack import ATTACKS, Attack, Attacked, Progress, attack, attack_named
from fedrobust.evasion.carlini_wagner import CarliniWagner
from fedrobust.evasion.deepfool import DeepFool
from fedrobust.evasion.ensemble import Ensemble
from fedrobust.evasion.fgsm import FGSM
from fedrobust.evasion.hunt import Hunt
from fedrobust.evasion.jsma import JSMA
from fedrobust.evasion.lbfgs import LBFGS
from fedrobust.evasion.noise import Noise
from fedrobust.evasion.one_pixel import OnePixel
from fedrobust.evasion.pgd import BIM, PGD, MomentumFGSM
from fedrobust.evasion.square import Square
from fedrobust.evasion.target import StraightThrough, Target, Tied, WhiteBox
from fedrobust.evasion.threat import Threat, ThreatError
from fedrobust.evasion.transfer import Transfer
from fedrobust.evasion.universal import Universal
from fedrobust.evasion.victim import NotDifferentiableError, Victim

__all__ = [
    "ATTACKS",
    "BIM",
    "FGSM",
    "JSMA",
    "LBFGS",
    "PGD",
    "Attack",
    "Attacked",
    "AutoPGDCrossEntropy",
    "AutoPGDRatio",
    "AutoPGDTargeted",
    "CarliniWagner",
    "DeepFool",
    "Ensemble",
    "Hunt",
    "MomentumFGSM",
    "Noise",
    "NotDifferentiableError",
    "OnePixel",
    "Progress",
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
