import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EPSILONS = ("0.001", "0.005", "8/255")


def wilson(correct: int, n: int) -> list[float]:
    rate, z = correct / n, 1.96
    middle = (rate + z * z / 2 / n) / (1 + z * z / n)
    half = z * math.sqrt(rate * (1 - rate) / n + z * z / 4 / n / n) / (1 + z * z / n)
    return [middle - half, middle + half]


def metrics(found: list[int], auc: float | None = 0.9) -> dict[str, Any]:
    """METRICS of a two-class model that finds `found` of the 42 and 114 images of BreastMNIST's test set."""
    sizes = [42, 114]
    recall = [hit / size for hit, size in zip(found, sizes, strict=True)]
    balanced = sum(recall) / 2
    return {
        "n": 156,
        "correct": sum(found),
        "accuracy": sum(found) / 156,
        "balanced_accuracy": balanced,
        "auc": auc,
        "recall": recall,
        "predicted": [found[0] + 114 - found[1], found[1] + 42 - found[0]],
        "majority_rate": 114 / 156,
        "loss": 0.4,
        "interval": {
            "accuracy": wilson(sum(found), 156),
            "balanced_accuracy": [balanced - 0.05, balanced + 0.05],
            "auc": None if auc is None else [auc - 0.04, auc + 0.04],
            "recall": [wilson(hit, size) for hit, size in zip(found, sizes, strict=True)],
        },
    }


def robust(*found: list[int]) -> dict[str, Any]:
    return {"fgsm": {name: metrics(one) for name, one in zip(EPSILONS, found, strict=True)}}


def one_round(number: int, found: list[int]) -> dict[str, Any]:
    failures = [{"partition": 3, "reason": "loss is not finite"}] if number == 2 else []
    return {
        "round": number,
        "clean": metrics(found),
        "validation": metrics(found),
        "robust": robust([found[0], found[1] - 1], [20, 60], [1, 2]),
        "clients": {
            "sampled": 4 if number else 0,
            "trained": 4 - len(failures) if number else 0,
            "failed": len(failures),
            "failures": failures,
            "loss": 0.41 if number else None,
        },
        "seconds": 4.2,
    }


def full_result() -> dict[str, Any]:
    student = metrics([28, 108], 0.88)
    return {
        "schema": 1,
        "status": "finished",
        "error": None,
        "name": "breast",
        "experiment": {"name": "breast", "federation": {"clients": 4, "rounds": 2}},
        "dataset": {
            "name": "BreastMNIST",
            "source": "MedMNIST",
            "licence": "CC BY 4.0",
            "digest": "sha256:0123abcd",
            "labels": ["malignant", "normal, benign"],
            "disease": [0],
            "task": "binary-class",
            "image-shape": [28, 28, 1],
            "samples": {"train": 546, "validation": 78, "test": 156},
            "counts": {"train": [147, 399], "validation": [21, 57], "test": [42, 114]},
        },
        "model": {
            "name": "mobilenetv2",
            "parameters": 2260546,
            "weights": "random",
            "image-size": 32,
            "selected-round": 2,
        },
        "rounds": [one_round(0, [10, 80]), one_round(1, [25, 105]), one_round(2, [30, 110])],
        "model-evaluation": {
            "clean": metrics([30, 110], 0.911),
            "robust": robust([28, 105], [20, 60], [1, 2]),
        },
        "student": {
            "name": "edge-cnn",
            "parameters": 98000,
            "clean": student,
            "robust": robust([27, 104], [22, 70], [4, 9]),
            "distillation": {
                "images": 78,
                "source": "validation split",
                "epochs": 60,
                "temperature": 4.0,
                "seconds": 5.1,
            },
        },
        "export": [
            {
                "format": "float32",
                "file": "student.float32.tflite",
                "bytes": 400000,
                "accuracy": student["accuracy"],
                "interval": student["interval"]["accuracy"],
                "agreement": 1.0,
                "latency_ms": {"p50": 0.2, "p95": 0.3, "threads": 1, "runs": 200},
                "metrics": student,
            }
        ],
        "environment": {"python": "3.11.7", "tensorflow": "2.21.0"},
        "seconds": 55.1,
    }


def full_partition() -> dict[str, Any]:
    counts = [[40, 100], [37, 99], [70, 100], [0, 100]]
    settings = {"alpha": 0.9}
    return {
        "method": "dirichlet",
        "settings": settings,
        "seed": 7,
        "hash": "9b1c",
        "counts": counts,
        "indices": [],
    }


def full_examples() -> dict[str, Any]:
    """Two images, clean and under three epsilons; the second is taken for the other class at the last two."""
    sizes = [0.0, 0.001, 0.005, 8 / 255]
    clean = np.random.default_rng(0).uniform(0.1, 0.9, (2, 28, 28, 1))
    return {
        "images": np.stack([clean + size for size in sizes], axis=1).astype(np.float32),
        "probabilities": np.asarray(
            [[[0.9, 0.1]] * 4, [[0.02, 0.98], [0.3, 0.7], [0.6, 0.4], [0.91, 0.09]]], np.float32
        ),
        "labels": np.asarray([0, 1]),
        "epsilons": np.asarray(sizes),
        "epsilon_names": np.asarray(["0", *EPSILONS]),
    }


def write_folder(folder: Path, result: dict[str, Any], partition: Any = None, examples: Any = None) -> Path:
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    if partition:
        (folder / "partition.json").write_text(json.dumps(partition), encoding="utf-8")
    if examples:
        np.savez(folder / "examples.npz", **examples)
    return folder


@pytest.fixture
def result() -> dict[str, Any]:
    return full_result()


@pytest.fixture
def failed_result() -> dict[str, Any]:
    error = "Krum needs n >= 2f + 3 = 13"
    absent: dict[str, Any] = {"rounds": [], "model-evaluation": None, "student": None, "export": []}
    return full_result() | {"status": "failed", "error": error} | absent


@pytest.fixture
def folder(tmp_path: Path):
    """Make a run folder: of the result given, or of a full run with every file."""

    def make(result: dict[str, Any] | None = None, *, partition: Any = None, examples: Any = None) -> Path:
        if result is None:
            return write_folder(tmp_path, full_result(), full_partition(), full_examples())
        return write_folder(tmp_path, result, partition, examples)

    return make


@pytest.fixture
def partition() -> dict[str, Any]:
    return full_partition()


@pytest.fixture
def examples() -> dict[str, Any]:
    return full_examples()
