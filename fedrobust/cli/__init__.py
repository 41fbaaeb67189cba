"""The command line: thin, every command is one call of `fedrobust.api`."""

# Each module adds its commands to the program, in the order in which ``--help`` lists them.
from fedrobust.cli import studies, models, predictions, sweeps, figures, names, own_data, deployment  # noqa: I001
from fedrobust.cli.app import app

__all__ = ["app", "deployment", "figures", "models", "names", "own_data", "predictions", "studies", "sweeps"]
