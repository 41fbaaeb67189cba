"""From client updates to one: one file a rule. Importing this package registers them."""

from fedrobust.aggregation.bucketing import Bucketing
from fedrobust.aggregation.bulyan import Bulyan
from fedrobust.aggregation.centred_clipping import CentredClipping
from fedrobust.aggregation.clipping import AdaptiveRobustClipping, Clipping
from fedrobust.aggregation.defence import Defence, defence
from fedrobust.aggregation.dnc import DivideAndConquer
from fedrobust.aggregation.flame import Flame
from fedrobust.aggregation.fldetector import FLDetector
from fedrobust.aggregation.fltrust import FLTrust
from fedrobust.aggregation.foolsgold import FoolsGold
from fedrobust.aggregation.geometric_median import GeometricMedian
from fedrobust.aggregation.krum import Krum, MultiKrum
from fedrobust.aggregation.mda import MinimumDiameter
from fedrobust.aggregation.meamed import MeaMed
from fedrobust.aggregation.mean import Mean, RunningMean
from fedrobust.aggregation.median import CoordinateMedian, coordinate_median
from fedrobust.aggregation.mixing import NearestNeighbourMixing
from fedrobust.aggregation.norm_clipping import NormClipping
from fedrobust.aggregation.rlr import RobustLearningRate
from fedrobust.aggregation.rule import (
    PRE_AGGREGATORS,
    RULES,
    Aggregation,
    Cohort,
    InfeasibleError,
    MatrixRule,
    Memory,
    PreAggregator,
    Rule,
    RunningAggregate,
    StreamingRule,
    selects,
)
from fedrobust.aggregation.server_optimizer import (
    SERVER_OPTIMIZERS,
    FedAdam,
    FedAvgM,
    FedYogi,
    ServerOptimizer,
)
from fedrobust.aggregation.signguard import SignGuard
from fedrobust.aggregation.trimmed_mean import TrimmedMean
from fedrobust.aggregation.updates import Updates

__all__ = [
    "PRE_AGGREGATORS",
    "RULES",
    "SERVER_OPTIMIZERS",
    "AdaptiveRobustClipping",
    "Aggregation",
    "Bucketing",
    "Bulyan",
    "CentredClipping",
    "Clipping",
    "Cohort",
    "CoordinateMedian",
    "Defence",
    "DivideAndConquer",
    "FLDetector",
    "FLTrust",
    "FedAdam",
    "FedAvgM",
    "FedYogi",
    "Flame",
    "FoolsGold",
    "GeometricMedian",
    "InfeasibleError",
    "Krum",
    "MatrixRule",
    "MeaMed",
    "Mean",
    "Memory",
    "MinimumDiameter",
    "MultiKrum",
    "NearestNeighbourMixing",
    "NormClipping",
    "PreAggregator",
    "RobustLearningRate",
    "Rule",
    "RunningAggregate",
    "RunningMean",
    "ServerOptimizer",
    "SignGuard",
    "StreamingRule",
    "TrimmedMean",
    "Updates",
    "coordinate_median",
    "defence",
    "selects",
]
