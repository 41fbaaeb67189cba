"""What a run folder holds, read without trust: runs fail, stop early, and leave parts out."""

import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.errors import FedrobustError
from fedrobust.runs.outcome import measured_after

SCHEMA = 1

Interval = tuple[float, float]


class ReportError(FedrobustError, ValueError):
    """A run folder holds nothing that a report can be made of."""


@dataclass(frozen=True, order=True)
class Epsilon:
    """The size of a perturbation, in the [0, 1] scale of the images, with the name the study gave it.

    Args:
        value: the size as a number.
        name: the size as written in the study: ``"0.005"`` or ``"8/255"``.
    """

    value: float
    name: str

    @classmethod
    def read(cls, name: str) -> "Epsilon":
        """Parse a decimal or a fraction.

        Raises:
            ReportError: `name` is neither.

        Example:
            >>> Epsilon.read("51/255").value
            0.2
        """
        above, slash, below = name.partition("/")
        try:
            value = float(above) / float(below) if slash else float(above)
        except (ValueError, ZeroDivisionError):
            value = math.nan
        if not math.isfinite(value):
            raise ReportError(f"epsilon {name!r} is neither a decimal nor a fraction such as 0.5/255")
        return cls(value, name)

    @property
    def grey(self) -> float:
        """The size in grey levels of an 8-bit image."""
        return self.value * 255


@dataclass(frozen=True)
class Metrics:
    """What one model scored on one set of images; None stands for what was not, or could not be, computed.

    Args:
        n: images judged.
        correct: images judged right.
        scores: ``accuracy``, ``balanced_accuracy`` and ``auc``, each in [0, 1].
        intervals: the 95 % interval of each score.
        recall: the share found of every class, with `recall_intervals`.
        predicted: how often every class was the answer.
        majority_rate: what always answering the largest class would score.
    """

    n: int
    correct: int
    scores: Mapping[str, float | None]
    intervals: Mapping[str, Interval | None]
    recall: tuple[float | None, ...]
    recall_intervals: tuple[Interval | None, ...]
    predicted: tuple[int, ...]
    majority_rate: float | None

    @classmethod
    def read(cls, data: Any) -> "Metrics | None":
        """Read one METRICS object; None when there is none, or none with an accuracy."""
        if not isinstance(data, dict) or data.get("accuracy") is None:
            return None
        intervals = data.get("interval") or {}
        names = ("accuracy", "balanced_accuracy", "auc")
        recall = tuple(data.get("recall") or ())
        bounds = list(intervals.get("recall") or ())
        return cls(
            n=int(data.get("n") or 0),
            correct=int(data.get("correct") or 0),
            scores={name: data.get(name) for name in names},
            intervals={name: _interval(intervals.get(name)) for name in names},
            recall=recall,
            recall_intervals=tuple(
                _interval(bounds[index]) if index < len(bounds) else None for index in range(len(recall))
            ),
            predicted=tuple(int(count) for count in data.get("predicted") or ()),
            majority_rate=data.get("majority_rate"),
        )

    @property
    def one_class(self) -> bool:
        """Whether all images are of one class, so that AUC and balanced accuracy say nothing."""
        return len(self.recall) > 1 and sum(value is not None for value in self.recall) == 1

    @property
    def accuracy(self) -> float:
        """The share of images judged right."""
        value = self.scores["accuracy"]
        assert value is not None  # `read` refuses metrics without one
        return value


Attacked = Mapping[str, Mapping[Epsilon, Metrics]]


@dataclass(frozen=True)
class Evaluation:
    """One model, clean and under every attack: ``attacked[attack][epsilon]``, epsilons ascending."""

    clean: Metrics | None
    attacked: Attacked

    @classmethod
    def read(cls, data: Any) -> "Evaluation":
        """Read the ``clean`` and ``robust`` parts of an object; both empty when there is none."""
        data = data if isinstance(data, dict) else {}
        attacked = {
            attack: dict(sorted(_attacked(table).items()))
            for attack, table in (data.get("robust") or {}).items()
        }
        return cls(
            Metrics.read(data.get("clean")), {attack: table for attack, table in attacked.items() if table}
        )


@dataclass(frozen=True)
class Round:
    """One round of learning: the global model after it, and what became of the clients."""

    number: int
    evaluation: Evaluation
    validation: Metrics | None
    sampled: int | None
    trained: int | None
    failed: int
    failures: tuple[tuple[int, str], ...]
    loss: float | None
    seconds: float | None

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Round":
        """Read one entry of ``rounds``."""
        clients = data.get("clients") or {}
        return cls(
            number=int(data["round"]),
            evaluation=Evaluation.read(data),
            validation=Metrics.read(data.get("validation")),
            sampled=clients.get("sampled"),
            trained=clients.get("trained"),
            failed=int(clients.get("failed") or 0),
            failures=tuple(
                (int(one["partition"]), str(one["reason"])) for one in clients.get("failures") or ()
            ),
            loss=clients.get("loss"),
            seconds=data.get("seconds"),
        )


@dataclass(frozen=True)
class Examples:
    """Test images under growing epsilon.

    Args:
        images: (k, E + 1, height, width, channels) in [0, 1]; the first column is clean.
        probabilities: (k, E + 1, classes), the model's answers.
        labels: (k,), the truth.
        epsilons: (E + 1,), the size of the perturbation in every column.
        names: (E + 1,), the same as the study writes it.
    """

    images: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]
    epsilons: NDArray[np.float64]
    names: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> "Examples":
        """Load ``examples.npz``.

        Raises:
            ValueError: the arrays do not fit each other.
        """
        with np.load(path, allow_pickle=False) as arrays:
            examples = cls(
                images=np.asarray(arrays["images"], np.float32),
                probabilities=np.asarray(arrays["probabilities"], np.float32),
                labels=np.asarray(arrays["labels"], np.int64),
                epsilons=np.asarray(arrays["epsilons"], np.float64),
                names=tuple(str(name) for name in arrays["epsilon_names"]),
            )
        images, columns = examples.images.shape, len(examples.names)
        if len(images) != 5 or images[4] not in (1, 3):
            raise ValueError(f"images {images} are not (k, E + 1, height, width, 1 or 3)")
        if examples.probabilities.ndim != 3 or examples.probabilities.shape[:2] != images[:2]:
            raise ValueError(f"probabilities {examples.probabilities.shape} do not fit images {images}")
        if (
            examples.labels.shape != images[:1]
            or examples.epsilons.shape != (columns,)
            or columns != images[1]
        ):
            raise ValueError(f"labels or epsilons do not fit images {images}")
        return examples


@dataclass(frozen=True)
class Partition:
    """How the training images were dealt to clients; ``counts[client][class]``, of the first of many clients."""

    method: str
    settings: Mapping[str, Any]
    seed: Any
    hash: str
    counts: Sequence[Sequence[int]]
    clients: int

    @classmethod
    def read(cls, path: Path) -> "Partition":
        """Load ``partition.json``.

        Raises:
            ValueError: it is no JSON, or lacks the counts.
        """
        data = _json(path)
        counts = data.get("counts") if isinstance(data, dict) else None
        if not counts or not all(isinstance(row, list) and row for row in counts):
            raise ValueError("it holds no counts of images by client and class")
        return cls(
            method=str(data.get("method", "")),
            settings=data.get("settings") or {},
            seed=data.get("seed"),
            hash=str(data.get("hash", "")),
            counts=[[int(count) for count in row] for row in counts],
            clients=int(data.get("clients", len(counts))),
        )


@dataclass(frozen=True)
class Run:
    """A run folder in memory.

    Args:
        result: ``result.json`` as it stands, for the parts that are only printed.
        rounds: in order.
        teacher: the selected global model.
        student: the distilled model, when there is one.
        partition: None when the file is absent or unreadable; `problems` then says which.
        examples: the same.
        problems: file name to what is wrong with it, for files that are there but cannot be read.
        folder: the name of the run folder.
        resumable: whether it holds a checkpoint to go on from.
    """

    result: Mapping[str, Any]
    rounds: tuple[Round, ...]
    teacher: Evaluation
    student: Evaluation | None
    partition: Partition | None
    examples: Examples | None
    problems: Mapping[str, str]
    folder: str = ""
    resumable: bool = False

    @property
    def failed(self) -> bool:
        """Whether the run ended in an error."""
        return self.result.get("status") == "failed"

    @property
    def unfinished(self) -> bool:
        """Whether the run did not come to its end: it failed, was stopped, or is still running."""
        return self.result.get("status") != "finished"

    @property
    def progress(self) -> str:
        """How far the run came, as in ``2 of 5 rounds``."""
        done = sum(one.number > 0 for one in self.rounds)
        asked = (self.part("experiment").get("federation") or {}).get("rounds")
        return f"{done} of {asked} rounds" if asked is not None else f"{done} rounds"

    @property
    def global_model(self) -> tuple[Evaluation, int | None]:
        """The selected global model; of a run cut short, the last one evaluated, with its round."""
        if self.teacher.clean or self.teacher.attacked:
            return self.teacher, None
        evaluated = [one for one in self.rounds if one.evaluation.clean]
        return (evaluated[-1].evaluation, evaluated[-1].number) if evaluated else (self.teacher, None)

    @property
    def global_name(self) -> str:
        """What to call `global_model`."""
        number = self.global_model[1]
        return "Global model" if number is None else f"Global model {measured_after(self.result, number)}"

    def part(self, name: str) -> Mapping[str, Any]:
        """One object of ``result.json``, empty when absent."""
        value = self.result.get(name)
        return value if isinstance(value, dict) else {}

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes."""
        return tuple(str(label) for label in self.part("dataset").get("labels") or ())

    def label(self, index: int) -> str:
        """The name of one class, or its number where the dataset names none."""
        return self.labels[index] if 0 <= index < len(self.labels) else f"class {index}"


def read(folder: Path) -> Run:
    """Read a run folder.

    Args:
        folder: holds ``result.json`` and, if the run came that far, ``partition.json`` and ``examples.npz``.

    Raises:
        ReportError: ``result.json`` is absent, no JSON object, of a schema this version does not know, or
            holds an epsilon that is no number.
    """
    path = folder / "result.json"
    if not path.is_file():
        raise ReportError(f"{path} is missing: a report is made from a run folder that holds result.json")
    try:
        result = _json(path)
    except ValueError as error:
        raise ReportError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(result, dict):
        raise ReportError(f"{path} holds no JSON object")
    if result.get("schema") != SCHEMA:
        raise ReportError(
            f"{path}: schema = {result.get('schema')!r}, but this version reads {SCHEMA}; "
            "make the report with the version of fedrobust that made the run"
        )
    problems: dict[str, str] = {}
    partition = _optional(folder / "partition.json", Partition.read, problems)
    examples = _optional(folder / "examples.npz", Examples.read, problems)
    student = result.get("student")
    return Run(
        result=result,
        rounds=tuple(sorted(map(Round.read, result.get("rounds") or ()), key=lambda one: one.number)),
        teacher=Evaluation.read(result.get("model-evaluation")),
        student=Evaluation.read(student) if student else None,
        partition=partition,
        examples=examples,
        problems=problems,
        folder=folder.resolve().name,
        resumable=any((folder / "checkpoints").glob("round-*.npz")),
    )


def _optional(path: Path, load: Any, problems: dict[str, str]) -> Any:
    if not path.is_file():
        return None
    try:
        return load(path)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        problems[path.name] = f"{type(error).__name__}: {error}"
        return None


def _json(path: Path) -> Any:
    # NaN and Infinity are no JSON, yet Python writes them: a diverged loss must not stop the report.
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)


def _interval(value: Any) -> Interval | None:
    if not isinstance(value, list | tuple) or len(value) != 2 or None in value:
        return None
    return float(value[0]), float(value[1])


def _attacked(table: Mapping[str, Any]) -> dict[Epsilon, Metrics]:
    read_table = {Epsilon.read(name): Metrics.read(data) for name, data in (table or {}).items()}
    return {epsilon: metrics for epsilon, metrics in read_table.items() if metrics}
