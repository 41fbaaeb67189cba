"""The tables of a study file, one a module."""

from fedrobust.config.sections.audit import Audit
from fedrobust.config.sections.data import Data
from fedrobust.config.sections.distillation import Distillation
from fedrobust.config.sections.engine import Engine
from fedrobust.config.sections.evaluation import Evaluation
from fedrobust.config.sections.export import Export
from fedrobust.config.sections.federation import Federation
from fedrobust.config.sections.model import Model
from fedrobust.config.sections.output import Output
from fedrobust.config.sections.poisoning import Poisoning
from fedrobust.config.sections.privacy import Privacy
from fedrobust.config.sections.section import Section
from fedrobust.config.sections.training import Training

__all__ = [
    "Audit",
    "Data",
    "Distillation",
    "Engine",
    "Evaluation",
    "Export",
    "Federation",
    "Model",
    "Output",
    "Poisoning",
    "Privacy",
    "Section",
    "Training",
]
