"""What a run ran on."""

import platform
from importlib.metadata import version

import pytest

from fedrobust.cores import cores
from fedrobust.processor import processor_name
from fedrobust.runs import environment as module
from fedrobust.runs.environment import environment

PACKAGES = [
    "fedrobust",
    "flwr",
    "tensorflow",
    "keras",
    "numpy",
    "ai-edge-litert",
    "medmnist",
    "ray",
    "scikit-learn",
]


def test_versions_processor_and_threads(monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    monkeypatch.setattr(module, "processor_name", lambda: "a processor")
    found = environment(3)
    assert list(found) == ["python", "system", "processor", "cores", "workers", *PACKAGES]
    assert found["python"] == platform.python_version()
    assert found["system"] == "Linux riscv64"
    assert found["processor"] == "a processor"
    assert found["cores"] == cores()
    assert found["workers"] == 3
    assert found["numpy"] == version("numpy")
    assert found["fedrobust"] == version("fedrobust")


def test_a_package_that_is_not_there(monkeypatch):
    monkeypatch.setattr(module, "PACKAGES", ("no-such-package-anywhere",))
    assert environment(1)["no-such-package-anywhere"] == "not installed"


@pytest.mark.parametrize(
    ("table", "name"),
    [
        (
            "processor\t: 0\nmodel name\t: First: of two  \nprocessor\t: 1\nmodel name\t: Second\n",
            "First: of two",
        ),
        ("processor\t: 0\nmodel\t\t: 85\nnot a model name\t: none\n", "as Python says"),
        ("", "as Python says"),
        (None, "as Python says"),
    ],
)
def test_the_processor_s_name(tmp_path, monkeypatch, table, name):
    monkeypatch.setattr(platform, "processor", lambda: "as Python says")
    path = tmp_path / "cpuinfo"
    if table is not None:
        path.write_text(table, encoding="utf-8")
    assert processor_name(path) == name
