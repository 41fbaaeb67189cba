"""Jobs of newcomers, each in at most ten lines."""

import ast

import keras
import pytest

import fedrobust

RULES = """
seed = [0, 1, 2]
data.samples = 100
model = {name = "edge-cnn", image-size = 28}
poisoning = {attack = "sign-flip", malicious = 1}
federation = {clients = 5, rounds = 1, aggregator = ["mean", "median", "krum", "multi-krum", "trimmed-mean"]}
evaluation = {epsilons = ["4/255"], examples = 0}
audit.enabled = false
distillation.enabled = false
export.enabled = false
"""

TABLE = """
import fedrobust
results = fedrobust.bench("rules.toml", out="rules")
print(fedrobust.latex_table([results.folder], ["accuracy", "fgsm 4/255 accuracy"]))
"""

OF_8_BIT = """
import fedrobust
card = fedrobust.audit_model("mine.keras", "phantom", input="0..255", effort="quick", images=20)
print(card["verdict"]["word"])
"""

OF_TORCH = """
import fedrobust, torch
net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(28 * 28, 2))
card = fedrobust.audit_model(fedrobust.torch_model(net), "phantom", effort="quick", images=20)
print(card["verdict"]["word"])
"""

FEDERATED = """
import fedrobust
off = {"audit__enabled": False, "distillation__enabled": False, "export__enabled": False}
run = fedrobust.run(model__name="mine.keras", model__weights="file", model__scaling="0..255",
                    data__samples=60, federation__rounds=1, **off)
print(run.result["model"]["network-digest"], run.rounds["accuracy"].tolist())
"""

VERDICTS = ("degenerate", "not robust", "not proven", "robust")


def printed(code, capsys) -> str:
    lines = code.strip().splitlines()
    assert len(lines) <= 10
    exec(compile(code, "newcomer.py", "exec"), {"__name__": "newcomer"})
    return capsys.readouterr().out.strip()


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    inputs = keras.Input((28, 28, 1))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, activation="relu")(inputs))
    keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x)).save("mine.keras")


@pytest.mark.slow
def test_a_latex_table_of_five_rules_and_three_seeds(tmp_path, capsys):
    (tmp_path / "rules.toml").write_text(RULES)
    lines = printed(TABLE, capsys).splitlines()
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
def test_a_keras_model_of_0_to_255_is_audited(capsys):
    assert printed(OF_8_BIT, capsys) in VERDICTS


def test_a_torch_model_is_audited_with_its_gradients(capsys):
    pytest.importorskip("torch", reason="PyTorch is no dependency; pip install 'fedrobust[torch]'")
    assert printed(OF_TORCH, capsys) in VERDICTS


@pytest.mark.slow
def test_an_own_network_is_federated_from_its_file(capsys):
    digest, accuracy = printed(FEDERATED, capsys).split(" ", 1)
    assert len(digest) == 16
    assert 0 <= sum(ast.literal_eval(accuracy)) <= 1
