"""The command line: thin, every command is one call of `fedrobust.api`."""

# Each module adds its commands to the program, in the order in which ``--help`` lists them.
from fedrobust.cli import (
    certificates,
    deployment,
    detectors,
    exports,
    figures,
    leakage,
    models,
    names,
    own_data,
    predictions,
    studies,
    sweeps,
)
from fedrobust.cli.app import app

__all__ = [
    "app",
    "certificates",
    "deployment",
    "detectors",
    "exports",
    "figures",
    "leakage",
    "models",
    "names",
    "own_data",
    "predictions",
    "studies",
    "sweeps",
]
