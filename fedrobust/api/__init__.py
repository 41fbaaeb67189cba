"""The Python interface: everything that the command line does, as functions.

TensorFlow is imported inside functions, so that `members`, `list_datasets` and the checks of settings do not need it.
"""

from fedrobust.api.attacks import attack_model
from fedrobust.api.audits import audit_model
from fedrobust.api.catalogue import explain, members
from fedrobust.api.certificates import certify_model
from fedrobust.api.certified_training import certify_training
from fedrobust.api.client_certificates import certify_clients
from fedrobust.api.datasets import describe_dataset, list_datasets, load_dataset
from fedrobust.api.detectors import detect_attacks
from fedrobust.api.exports import export_model
from fedrobust.api.figures import write_figures
from fedrobust.api.imports import check_dataset, import_arrays, import_huggingface, import_images
from fedrobust.api.leaderboard import break_claim, write_leaderboard
from fedrobust.api.leakage import attack_privacy
from fedrobust.api.predictions import predict
from fedrobust.api.studies import doctor, experiment, open_run, resume, run, train, write_report
from fedrobust.api.sweeps import (
    bench,
    compare,
    latex_table,
    markdown_table,
    open_sweep,
    over_seeds,
    plan_bench,
    ranks,
    resume_bench,
    run_seeds,
    tidy,
)
from fedrobust.config import Experiment
from fedrobust.data.dataset import Dataset
from fedrobust.evasion.models.torch_model import torch_model
from fedrobust.runs.run import Run

__all__ = [
    "Dataset",
    "Experiment",
    "Run",
    "attack_model",
    "attack_privacy",
    "audit_model",
    "bench",
    "break_claim",
    "certify_clients",
    "certify_model",
    "certify_training",
    "check_dataset",
    "compare",
    "describe_dataset",
    "detect_attacks",
    "doctor",
    "experiment",
    "explain",
    "export_model",
    "import_arrays",
    "import_huggingface",
    "import_images",
    "latex_table",
    "list_datasets",
    "load_dataset",
    "markdown_table",
    "members",
    "open_run",
    "open_sweep",
    "over_seeds",
    "plan_bench",
    "predict",
    "ranks",
    "resume",
    "resume_bench",
    "run",
    "run_seeds",
    "tidy",
    "torch_model",
    "train",
    "write_figures",
    "write_leaderboard",
    "write_report",
]
