"""The settings of a study: parsing, validation, and resolution of names."""

from fedrobust.config.experiment import QUICKSTART, Experiment
from fedrobust.config.keys import alias, default, keys, list_keys
from fedrobust.config.sections import (
    Audit,
    Data,
    Distillation,
    Engine,
    Evaluation,
    Export,
    Federation,
    Model,
    Output,
    Poisoning,
    Section,
    Training,
)
from fedrobust.config.sections.section import Epsilon
from fedrobust.config.starting import starting
from fedrobust.config.template import template
from fedrobust.errors import ConfigError

__all__ = [
    "QUICKSTART",
    "Audit",
    "ConfigError",
    "Data",
    "Distillation",
    "Engine",
    "Epsilon",
    "Evaluation",
    "Experiment",
    "Export",
    "Federation",
    "Model",
    "Output",
    "Poisoning",
    "Section",
    "Training",
    "alias",
    "default",
    "keys",
    "list_keys",
    "starting",
    "template",
]
