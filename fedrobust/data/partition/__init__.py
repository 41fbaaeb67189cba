"""Which client has which training images: methods, one a module, their records, and populations that draw."""

from fedrobust.data.partition.contract import PARTITIONS
from fedrobust.data.partition.dirichlet import dirichlet
from fedrobust.data.partition.divide import partition
from fedrobust.data.partition.drawn import Drawing
from fedrobust.data.partition.iid import iid
from fedrobust.data.partition.label_shards import shards
from fedrobust.data.partition.pathological import pathological
from fedrobust.data.partition.quantity import quantity
from fedrobust.data.partition.record import Partition

__all__ = [
    "PARTITIONS",
    "Drawing",
    "Partition",
    "dirichlet",
    "iid",
    "partition",
    "pathological",
    "quantity",
    "shards",
]
