"""Partitions of the training images over clients: methods, one a module, records, and populations that draw."""

from fedrobust.data.partition.contract import PARTITIONS, Method
from fedrobust.data.partition.dirichlet import Dirichlet
from fedrobust.data.partition.divide import method_named, partition
from fedrobust.data.partition.drawn import Draw, Drawing
from fedrobust.data.partition.iid import IID
from fedrobust.data.partition.label_shards import LabelShards
from fedrobust.data.partition.pathological import Pathological
from fedrobust.data.partition.quantity import Quantity
from fedrobust.data.partition.record import Partition
from fedrobust.data.partition.site import BySite

__all__ = [
    "IID",
    "PARTITIONS",
    "BySite",
    "Dirichlet",
    "Draw",
    "Drawing",
    "LabelShards",
    "Method",
    "Partition",
    "Pathological",
    "Quantity",
    "method_named",
    "partition",
]
