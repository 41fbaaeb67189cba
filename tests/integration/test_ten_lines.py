"""Jobs of newcomers, each in at most ten lines, run as they stand in `docs/in-ten-lines.md`."""

import ast
import re
import shutil
import sys
import types
from pathlib import Path

import keras
import pytest
from PIL import Image

import fedrobust

PAGE = Path(__file__).parents[2] / "docs" / "in-ten-lines.md"
VERDICTS = ("degenerate", "not robust", "not proven", "robust")


def written(heading: str, language: str = "python") -> str:
    """Return the code that the page has below a heading, at most ten lines."""
    _, _, section = PAGE.read_text().partition(f"## {heading}\n")
    found = re.search(rf"```{language}\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    assert found, heading
    assert len([line for line in found[1].splitlines() if line.strip()]) <= 10
    return found[1]


def printed(heading: str, capsys) -> str:
    exec(compile(written(heading), "newcomer.py", "exec"), {"__name__": "newcomer"})
    return capsys.readouterr().out.strip()


STUDY = """
name = "study"
data.samples = 120
model = {name = "edge-cnn", image-size = 28}
federation = {clients = 4, rounds = 1}
evaluation = {epsilons = ["4/255"], examples = 0}
audit.enabled = false
"""


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text(f"{STUDY}distillation.enabled = false\nexport.enabled = false")
    keras.utils.set_random_seed(0)
    inputs = keras.Input((28, 28, 1))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, activation="relu")(inputs))
    keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x)).save("mine.keras")


@pytest.mark.slow
def test_a_latex_table_of_five_rules_and_three_seeds(tmp_path, capsys):
    heading = "A LaTeX table of five rules and three seeds"
    (tmp_path / "rules.toml").write_text(written(heading, "toml"))
    lines = printed(heading, capsys).splitlines()
    assert lines[0].startswith("% Mean over 3 seeds")
    rows = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    assert [row.partition(" & ")[0] for row in rows] == [
        "mean",
        "median",
        "krum",
        "multi-krum",
        "trimmed-mean",
    ]
    means = fedrobust.over_seeds(["rules"])["accuracy"]
    assert all(f"& ${100 * mean:.1f} " in row for row, mean in zip(rows, means, strict=True))


@pytest.mark.slow
def test_an_own_rule_and_an_own_attack_of_a_notebook(tmp_path, monkeypatch, capsys):
    notebook = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", notebook)
    exec(written("An own rule and an own attack in a notebook"), vars(notebook))
    (folder,) = (tmp_path / "runs").iterdir()
    run = fedrobust.open_run(folder)
    assert run.experiment.federation.aggregator == "__main__:Nearest"
    (only,) = run.record.rounds
    assert len(only.defence.malicious) == 1
    assert capsys.readouterr().out.startswith(f"0    {only.clean.accuracy:.3f}"[:7])


@pytest.mark.slow
def test_a_run_in_mlflow(tmp_path, capsys):
    pytest.importorskip("mlflow", reason="pip install 'fedrobust[mlflow]'")
    from mlflow.tracking import MlflowClient

    printed("A run in MLflow", capsys)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (logged,) = client.search_runs([client.get_experiment_by_name("first").experiment_id])
    run = fedrobust.open_run(logged.data.tags["folder"])
    curve = {one.step: one.value for one in client.get_metric_history(logged.info.run_id, "clean/accuracy")}
    assert curve == dict(zip(run.rounds["round"], run.rounds["accuracy"], strict=True))


@pytest.mark.slow
def test_a_keras_model_of_0_to_255_is_audited(capsys):
    assert printed("The audit of a Keras model that takes 0 to 255", capsys) in VERDICTS


def test_a_torch_model_is_audited_with_its_gradients(capsys):
    pytest.importorskip("torch", reason="PyTorch is no dependency; pip install 'fedrobust[torch]'")
    assert printed("The audit of a PyTorch model", capsys) in VERDICTS


@pytest.mark.slow
def test_an_own_network_is_federated_from_its_file(capsys):
    digest, accuracy = printed("The federation of an own network", capsys).split(" ", 1)
    assert len(digest) == 16
    assert 0 <= sum(ast.literal_eval(accuracy)) <= 1


@pytest.mark.slow
def test_an_image_is_classified_on_a_device_as_by_fedrobust(tmp_path, capsys):
    heading = "An image classified on a device"
    tree = ast.walk(ast.parse(written(heading)))
    used = {
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in tree
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert used == {"zipfile", "numpy", "ai_edge_litert.interpreter", "PIL"}
    settings = {"data__samples": 600, "federation__rounds": 2, "distillation__epochs": 3}
    (tmp_path / "exported.toml").write_text(STUDY)
    exported = fedrobust.run("exported.toml", out=tmp_path / "run", output__report=False, **settings)
    shutil.copy(exported.path / "student.int8.tflite", tmp_path)
    test = fedrobust.load_dataset("phantom").test
    said = []
    for pixels in test.images[:8, ..., 0]:
        Image.fromarray(pixels).save("scan.png")
        said.append(printed(heading, capsys))
    ours = fedrobust.predict(tmp_path / "student.int8.tflite", *test.images[:8])
    assert said == [one.name for one in ours]
    assert len(set(said)) == 2
