"""Attacks on learning: what malicious clients do, one file an attack. Importing this package registers them."""

from fedrobust.poisoning.attack import Attack
from fedrobust.poisoning.collusion.alie import ALIE, OptimisedALIE
from fedrobust.poisoning.collusion.delta_search import DeltaSearch
from fedrobust.poisoning.collusion.fang import FangKrum, FangTrimmedMean
from fedrobust.poisoning.collusion.ipm import IPM, OptimisedIPM
from fedrobust.poisoning.collusion.mimic import Mimic
from fedrobust.poisoning.collusion.min_max import MinMax, MinSum
from fedrobust.poisoning.context import AttackContext, CollusionContext, SuccessCriterion
from fedrobust.poisoning.contract import POISONING
from fedrobust.poisoning.data.a3fl import A3FL
from fedrobust.poisoning.data.backdoor import BlendedBackdoor, DistributedBackdoor, PixelBackdoor
from fedrobust.poisoning.data.clean_label import CleanLabelBackdoor
from fedrobust.poisoning.data.crafted_images import FGSMImages, PGDImages
from fedrobust.poisoning.data.edge_case import EdgeCase
from fedrobust.poisoning.data.feature_noise import FeatureNoise
from fedrobust.poisoning.data.iba import IBA
from fedrobust.poisoning.data.label_flip import LabelFlip
from fedrobust.poisoning.data.semantic_backdoor import SemanticBackdoor
from fedrobust.poisoning.memory import AttackMemory
from fedrobust.poisoning.schedule import Schedule, malicious_clients
from fedrobust.poisoning.tools import AttackerTools
from fedrobust.poisoning.training.chameleon import Chameleon
from fedrobust.poisoning.training.critical_layers import CriticalLayers
from fedrobust.poisoning.training.fgsm_training import FGSMTraining
from fedrobust.poisoning.training.neurotoxin import Neurotoxin
from fedrobust.poisoning.training.standard_training import StandardTraining
from fedrobust.poisoning.update.false_loss import FalseLoss
from fedrobust.poisoning.update.free_rider import FreeRider, Zero
from fedrobust.poisoning.update.gaussian import Gaussian
from fedrobust.poisoning.update.inflated_claim import InflatedClaim
from fedrobust.poisoning.update.mpaf import MPAF
from fedrobust.poisoning.update.norm_bound import NormBound
from fedrobust.poisoning.update.not_finite import NotFinite
from fedrobust.poisoning.update.poisonedfl import PoisonedFL
from fedrobust.poisoning.update.scaling import ModelReplacement, Scaling
from fedrobust.poisoning.update.sign_flip import SignFlip

__all__ = [
    "A3FL",
    "ALIE",
    "IBA",
    "IPM",
    "MPAF",
    "POISONING",
    "Attack",
    "AttackContext",
    "AttackMemory",
    "AttackerTools",
    "BlendedBackdoor",
    "Chameleon",
    "CleanLabelBackdoor",
    "CollusionContext",
    "CriticalLayers",
    "DeltaSearch",
    "DistributedBackdoor",
    "EdgeCase",
    "FGSMImages",
    "FGSMTraining",
    "FalseLoss",
    "FangKrum",
    "FangTrimmedMean",
    "FeatureNoise",
    "FreeRider",
    "Gaussian",
    "InflatedClaim",
    "LabelFlip",
    "Mimic",
    "MinMax",
    "MinSum",
    "ModelReplacement",
    "Neurotoxin",
    "NormBound",
    "NotFinite",
    "OptimisedALIE",
    "OptimisedIPM",
    "PGDImages",
    "PixelBackdoor",
    "PoisonedFL",
    "Scaling",
    "Schedule",
    "SemanticBackdoor",
    "SignFlip",
    "StandardTraining",
    "SuccessCriterion",
    "Zero",
    "malicious_clients",
]
