"""Distil adversarially trained teachers by every method, each student beside its controls, and write RESULTS.md.

    python experiments/distillation/run.py
    python experiments/distillation/run.py --seeds 0 --models teacher labels rslad

A seed's federation runs once; its teacher is distilled by every method. Whatever ends it, the same command goes on
where it ended.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast

import fedrobust
from fedrobust.atomic import atomic
from fedrobust.config import Experiment
from fedrobust.cores import cores
from fedrobust.runs.record import EvaluationRecord, to_json
from fedrobust.runtime import start_tensorflow
from fedrobust.study import Study

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from table import write  # noqa: E402 - beside this file

METHODS: Mapping[str, str] = {
    "soft-labels": "soft-labels",
    "rslad": "rslad(epsilon='4/255', steps=3)",
    "ard": "ard(epsilon='4/255', steps=3)",
    "iad": "iad(epsilon='4/255', steps=3)",
}
"""Methods by the name of their row."""

TRAINED = "pgd(epsilon='4/255', steps=3)"
"""The recipe of the control that is trained adversarially on labels, without a teacher."""


def teacher_run(seed: int, out: Path) -> Path:
    """Return the run folder of a seed's federation, after running what is left of it."""
    folder = out / f"teacher-{seed}"
    result = folder / "result.json"
    if result.is_file() and json.loads(result.read_text())["status"] == "finished":
        return folder
    # Its teacher is measured with the students.
    unmeasured: dict[str, Any] = {"distillation__enabled": False, "evaluation__attacks": []}
    study = Experiment.load(HERE / "distillation.toml", seed=seed, **unmeasured)
    resume = (folder / "checkpoints").is_dir()
    fedrobust.run(study.changed(output__dir=str(folder), output__resume=resume, output__report=False))
    return folder


class Students:
    """The students of one seed's teacher.

    Args:
        folder: the run folder of the federation.
        pool: runs batches in parallel.
    """

    def __init__(self, folder: Path, pool: ThreadPoolExecutor):
        from fedrobust.lazy import keras
        from server.model_parts import ModelParts

        seed = Experiment.recorded(folder / "experiment.toml").seed
        self.experiment = Experiment.load(HERE / "distillation.toml", seed=seed)
        start_tensorflow(cores())
        self.parts_of = partial(ModelParts, grid=cast(Any, None), pool=pool)  # no clients are asked
        self.parts = self.parts_of(Study.of(self.experiment))
        found = self.parts.classifier.weights_of(
            keras.models.load_model(folder / "model.keras", compile=False)
        )
        assert found is not None, "the file is of another network"
        self.weights = found

    def plan(self, method: str, **settings: Any) -> Any:
        """Return the plan of a distillation by `method`."""
        changed = {"enabled": True, "method": method, **settings}
        keys = {f"distillation__{key}": value for key, value in changed.items()}
        return self.parts_of(Study.of(self.experiment.changed(**keys))).distillation

    def measured(self, method: str, **settings: Any) -> dict[str, Any]:
        """Return the figures of the student of `method`."""
        started = time.perf_counter()
        student = self.plan(method, **settings).distilled(self.parts.evaluator, (self.weights,))
        return self._figures(student.classifier, student.weights, started)

    def control(self, recipe: str, **settings: Any) -> dict[str, Any]:
        """Return the figures of the same network, trained on labels with `recipe`."""
        started = time.perf_counter()
        plan = self.plan("soft-labels", **settings)
        return self._figures(plan.student, self._on_labels(plan, recipe), started)

    def of_robust_teacher(self, method: str, **settings: Any) -> dict[str, Any]:
        """Return the figures of the student of `method` whose teacher is the control of adversarial training."""
        plan = self.plan(method, **settings)
        weights = self._on_labels(plan, TRAINED)
        started = time.perf_counter()
        student = plan.distilled(self.parts.evaluator.of_model(plan.student), (weights,))
        return self._figures(student.classifier, student.weights, started)

    def _on_labels(self, plan: Any, recipe: str) -> Any:
        """Return the weights of a student that learns labels alone."""
        from fedrobust.spec import build
        from fedrobust.training.distillation import teach_labels
        from fedrobust.training.recipes import RECIPES

        given = plan.settings
        return teach_labels(
            plan.student,
            plan.shown,
            plan.shown_labels,
            given.epochs,
            given.batch_size,
            given.learning_rate,
            plan.seed,
            build(RECIPES, recipe),
            plan.balanced,
            plan.loss,
        ).weights

    def teacher(self) -> dict[str, Any]:
        """Return the figures of the teacher."""
        return self._figures(self.parts.classifier, self.weights, time.perf_counter())

    def _figures(self, classifier: Any, weights: Any, started: float) -> dict[str, Any]:
        seconds = time.perf_counter() - started
        evaluator = self.parts.evaluator.of_model(classifier)
        found = EvaluationRecord.of(evaluator.test(weights))
        return {**to_json(found), "seconds": seconds, "parameters": classifier.parameters}


MODELS: Mapping[str, Callable[[Students], dict[str, Any]]] = {
    "teacher": Students.teacher,
    "labels": partial(Students.control, recipe="plain"),
    "soft-labels": partial(Students.measured, method="soft-labels"),
    "rslad": partial(Students.measured, method=METHODS["rslad"]),
    "ard": partial(Students.measured, method=METHODS["ard"]),
    "adversarial": partial(Students.control, recipe=TRAINED),
    "iad": partial(Students.measured, method=METHODS["iad"]),
    "ard at 30": partial(Students.measured, method=METHODS["ard"], temperature=30.0),
    "iad at 1": partial(Students.measured, method=METHODS["iad"], temperature=1.0),
    "rslad, robust": partial(Students.of_robust_teacher, method=METHODS["rslad"]),
    "ard, robust": partial(Students.of_robust_teacher, method=METHODS["ard"]),
    "iad at 1, robust": partial(Students.of_robust_teacher, method=METHODS["iad"], temperature=1.0),
    "soft-labels, robust": partial(Students.of_robust_teacher, method="soft-labels"),
}
"""What is measured of a seed's teacher, by the name of its row; the most important first."""


def main() -> None:
    """Run the cells that are left, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", default="runs/distillation", help="folder of the runs")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    arguments = parser.parse_args()
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    with ThreadPoolExecutor(cores()) as pool:
        for seed in arguments.seeds:
            students: Students | None = None
            for name in arguments.models:
                file = results / f"{name}-{seed}.json"
                if file.is_file():
                    continue
                students = students or Students(teacher_run(seed, Path(arguments.out)), pool)
                found = json.dumps(MODELS[name](students), indent=1) + "\n"
                with atomic(file) as unfinished:
                    unfinished.write_text(found)
                print(f"seed {seed}: {name}", flush=True)
                write(results, HERE / "RESULTS.md")
    write(results, HERE / "RESULTS.md")


if __name__ == "__main__":
    main()
