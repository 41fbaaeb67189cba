"""Aggregation of client updates: rules, pre-aggregators and server optimisers, one file each."""

from fedrobust.aggregation.contract import (
    PRE_AGGREGATORS,
    RULES,
    Aggregation,
    AggregationContext,
    InfeasibleError,
    MatrixRule,
    Memory,
    PreAggregator,
    Rule,
    RunningAggregate,
    StreamingRule,
    averages,
    selects,
    streams,
)
from fedrobust.aggregation.pipeline import AggregationPipeline, defence
from fedrobust.aggregation.pre_aggregators.bucketing import Bucketing
from fedrobust.aggregation.pre_aggregators.clipping import AdaptiveRobustClipping, Clipping
from fedrobust.aggregation.pre_aggregators.nearest_neighbour_mixing import NearestNeighbourMixing
from fedrobust.aggregation.rules.alignins import AlignIns
from fedrobust.aggregation.rules.bnguard import BNGuard
from fedrobust.aggregation.rules.bulyan import Bulyan
from fedrobust.aggregation.rules.centred_clipping import CentredClipping
from fedrobust.aggregation.rules.deepsight import DeepSight
from fedrobust.aggregation.rules.dnc import DivideAndConquer
from fedrobust.aggregation.rules.feddf import FedDF
from fedrobust.aggregation.rules.flame import Flame
from fedrobust.aggregation.rules.fldetector import FLDetector
from fedrobust.aggregation.rules.flshield import FLShield
from fedrobust.aggregation.rules.fltrust import FLTrust
from fedrobust.aggregation.rules.foolsgold import FoolsGold
from fedrobust.aggregation.rules.freqfed import FreqFed
from fedrobust.aggregation.rules.geometric_median import GeometricMedian
from fedrobust.aggregation.rules.krum import Krum, MultiKrum
from fedrobust.aggregation.rules.lasa import LASA
from fedrobust.aggregation.rules.mda import MinimumDiameter
from fedrobust.aggregation.rules.meamed import MeaMed
from fedrobust.aggregation.rules.mean import Mean, RunningMean
from fedrobust.aggregation.rules.median import CoordinateMedian, coordinate_median
from fedrobust.aggregation.rules.multi_metrics import MultiMetrics
from fedrobust.aggregation.rules.norm_clipping import NormClipping
from fedrobust.aggregation.rules.rlr import RobustLearningRate
from fedrobust.aggregation.rules.sfat import SFAT
from fedrobust.aggregation.rules.signguard import SignGuard
from fedrobust.aggregation.rules.sparsefed import SparseFed
from fedrobust.aggregation.rules.trimmed_mean import TrimmedMean
from fedrobust.aggregation.server_optimizers import (
    SERVER_OPTIMIZERS,
    FedAdam,
    FedAvgM,
    FedYogi,
    ServerOptimizer,
)
from fedrobust.aggregation.updates import Updates

__all__ = [
    "LASA",
    "PRE_AGGREGATORS",
    "RULES",
    "SERVER_OPTIMIZERS",
    "SFAT",
    "AdaptiveRobustClipping",
    "Aggregation",
    "AggregationContext",
    "AggregationPipeline",
    "AlignIns",
    "BNGuard",
    "Bucketing",
    "Bulyan",
    "CentredClipping",
    "Clipping",
    "CoordinateMedian",
    "DeepSight",
    "DivideAndConquer",
    "FLDetector",
    "FLShield",
    "FLTrust",
    "FedAdam",
    "FedAvgM",
    "FedDF",
    "FedYogi",
    "Flame",
    "FoolsGold",
    "FreqFed",
    "GeometricMedian",
    "InfeasibleError",
    "Krum",
    "MatrixRule",
    "MeaMed",
    "Mean",
    "Memory",
    "MinimumDiameter",
    "MultiKrum",
    "MultiMetrics",
    "NearestNeighbourMixing",
    "NormClipping",
    "PreAggregator",
    "RobustLearningRate",
    "Rule",
    "RunningAggregate",
    "RunningMean",
    "ServerOptimizer",
    "SignGuard",
    "SparseFed",
    "StreamingRule",
    "TrimmedMean",
    "Updates",
    "averages",
    "coordinate_median",
    "defence",
    "selects",
    "streams",
]
