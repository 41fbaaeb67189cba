"""Simulate federated learning on medical images, attack it, and audit whether models are really robust.

Example:
    >>> import fedrobust
    >>> run = fedrobust.run("experiments/breast.toml", federation__clients=20)  # doctest: +SKIP
    >>> run.rounds  # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedrobust.api import (
        attack_model,
        attack_privacy,
        audit_model,
        bench,
        break_claim,
        certify_clients,
        certify_model,
        certify_training,
        check_dataset,
        compare,
        describe_dataset,
        detect_attacks,
        doctor,
        explain,
        export_model,
        import_arrays,
        import_huggingface,
        import_images,
        latex_table,
        list_datasets,
        load_dataset,
        markdown_table,
        members,
        open_run,
        open_sweep,
        over_seeds,
        plan_bench,
        predict,
        ranks,
        resume,
        run,
        run_seeds,
        tidy,
        torch_model,
        train,
        write_figures,
        write_leaderboard,
        write_report,
    )
    from fedrobust.config import Experiment
    from fedrobust.data.dataset import Dataset
    from fedrobust.runs.run import Run

    __version__: str

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
    "run",
    "run_seeds",
    "tidy",
    "torch_model",
    "train",
    "write_figures",
    "write_leaderboard",
    "write_report",
]


def __getattr__(name: str) -> Any:
    # Imported on first use, so that importing the package, and the command line's help, stay instant.
    if name == "__version__":
        from importlib.metadata import version

        return version("fedrobust")
    if name not in __all__:
        raise AttributeError(f"module 'fedrobust' has no attribute {name!r}")
    from fedrobust import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "__version__"])
