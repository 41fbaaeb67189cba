"""Attacks on learning: what malicious clients do, one file an attack. Importing this package registers them."""

from fedrobust.poisoning.alie import ALIE, OptimisedALIE
from fedrobust.poisoning.attack import POISONING, Attack, Conspiracy, Goal, Scene
from fedrobust.poisoning.backdoor import BlendedBackdoor, DistributedBackdoor, PixelBackdoor
from fedrobust.poisoning.crafted_images import FGSMImages, FGSMTraining, PGDImages
from fedrobust.poisoning.edge_case import EdgeCase
from fedrobust.poisoning.fang import FangKrum, FangTrimmedMean
from fedrobust.poisoning.feature_noise import FeatureNoise
from fedrobust.poisoning.free_rider import FreeRider, Zero
from fedrobust.poisoning.gaussian import Gaussian
from fedrobust.poisoning.inflated_claim import InflatedClaim
from fedrobust.poisoning.ipm import IPM, OptimisedIPM
from fedrobust.poisoning.label_flip import LabelFlip
from fedrobust.poisoning.mimic import Mimic
from fedrobust.poisoning.min_max import MinMax, MinSum
from fedrobust.poisoning.norm_bound import NormBound
from fedrobust.poisoning.not_finite import NotFinite
from fedrobust.poisoning.roster import attacks_in, malicious_clients
from fedrobust.poisoning.scaling import ModelReplacement, Scaling
from fedrobust.poisoning.sign_flip import SignFlip
from fedrobust.poisoning.standard_training import StandardTraining

__all__ = [
    "ALIE",
    "IPM",
    "POISONING",
    "Attack",
    "BlendedBackdoor",
    "Conspiracy",
    "DistributedBackdoor",
    "EdgeCase",
    "FGSMImages",
    "FGSMTraining",
    "FangKrum",
    "FangTrimmedMean",
    "FeatureNoise",
    "FreeRider",
    "Gaussian",
    "Goal",
    "InflatedClaim",
    "LabelFlip",
    "Mimic",
    "MinMax",
    "MinSum",
    "ModelReplacement",
    "NormBound",
    "NotFinite",
    "OptimisedALIE",
    "OptimisedIPM",
    "PGDImages",
    "PixelBackdoor",
    "Scaling",
    "Scene",
    "SignFlip",
    "StandardTraining",
    "Zero",
    "attacks_in",
    "malicious_clients",
]
