"""Whole studies with malicious clients."""

from pathlib import Path

import numpy as np
import pytest

import fedrobust
from fedrobust.config import Experiment
from fedrobust.runs.events import RoundFinished

# A narrow network with a large learning rate: it learns in three rounds, in half the time of the default's.
SETTINGS = {
    "data__samples": 600,
    "model__name": "edge-cnn(width=8)",
    "training__batch_size": 16,
    "training__learning_rate": 0.01,
    "federation__clients": 10,
    "federation__rounds": 3,
    "poisoning__malicious": 3,
    "evaluation__epsilons": [0.005],
    "evaluation__examples": 0,
    "evaluation__every": 3,
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
    "output__report": False,
}


def run(folder, **settings):
    return fedrobust.run(out=folder, **{**SETTINGS, **settings})


def last(folder, **settings):
    return run(folder, **settings).result["rounds"][-1]


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return last(tmp_path_factory.mktemp("clean") / "run", poisoning__attack="none", poisoning__malicious=0)


ATTACKS = ["sign-flip", pytest.param("scaling(factor=100)", marks=pytest.mark.slow)]


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_mean_collapses(tmp_path, attack):
    assert last(tmp_path / "mean", poisoning__attack=attack)["clean"]["balanced_accuracy"] < 0.6


@pytest.mark.parametrize(
    ("rule", "before"),
    [
        pytest.param("median", [], marks=pytest.mark.slow),
        ("trimmed-mean", ["clipping"]),
        ("multi-krum", []),
    ],
)
@pytest.mark.parametrize("attack", ATTACKS)
def test_robust_rules_do_not_collapse(tmp_path, clean, attack, rule, before):
    good = clean["clean"]["balanced_accuracy"]
    assert good > 0.8
    settings = {"federation__aggregator": rule, "federation__pre_aggregators": before}
    defended = last(tmp_path / rule, poisoning__attack=attack, **settings)
    assert defended["clean"]["balanced_accuracy"] > good - 0.1
    told = defended["defence"]
    assert len(told["malicious"]) == 3
    if rule == "multi-krum":
        assert (told["true-positive-rate"], told["false-positive-rate"]) == (1.0, 0.0)
        assert not set(told["accepted"]) & set(told["malicious"])


def test_a_backdoor_gets_in_through_the_mean_and_not_past_a_defence(tmp_path):
    attack = {"poisoning__attack": "pixel-backdoor(target=0) + model-replacement"}
    success = last(tmp_path / "mean", **attack)["attack-success"]
    assert success["rate"] > 0.8
    assert success["without-trigger"] < 0.6
    assert success["interval"][0] < success["rate"] < success["interval"][1]
    assert success["successes"] == round(success["rate"] * success["n"])
    guarded = last(tmp_path / "guard", federation__aggregator="multi-krum", **attack)
    assert guarded["attack-success"]["rate"] < 0.3
    assert guarded["defence"]["true-positive-rate"] == 1.0


def test_clients_that_send_nonsense_are_refused_and_the_run_goes_on(tmp_path, clean):
    finished = run(tmp_path / "run", poisoning__attack="not-finite(value='inf', share=0.001)")
    entry = finished.result["rounds"][-1]
    assert entry["clients"]["failed"] == 3
    assert all("not finite" in failure["reason"] for failure in entry["clients"]["failures"])
    assert entry["defence"]["true-positive-rate"] == 1.0
    assert entry["clean"]["balanced_accuracy"] > clean["clean"]["balanced_accuracy"] - 0.1


def test_a_model_that_answers_nonsense_is_not_taken_over(tmp_path):
    entry = last(tmp_path / "run", poisoning__attack="scaling(factor=1e30)", federation__rounds=2)
    assert "not finite" in entry["kept"]
    assert entry["clean"]["n"] > 0


def test_attackers_come_and_go_by_the_calendar(tmp_path):
    settings = {"poisoning__first_round": 2, "poisoning__last_round": 2, "poisoning__attack": "free-rider"}
    rounds = run(tmp_path / "run", **settings).result["rounds"]
    assert [entry["defence"]["attacked"] for entry in rounds] == [False, True, False]
    assert [entry["defence"]["distance"] < 1e-6 for entry in rounds] == [True, False, True], (
        "in a round without an attack all clients are honest, and the mean is theirs"
    )


@pytest.mark.parametrize(
    "attack",
    [
        "fgsm-images(epsilon='16/255')",
        pytest.param("fgsm-training", marks=pytest.mark.slow),
        pytest.param("pgd-images(steps=3)", marks=pytest.mark.slow),
    ],
)
def test_adversarial_images_reach_the_training(tmp_path, attack):
    settings = {"federation__rounds": 1, "evaluation__every": 1}
    poisoned = run(tmp_path / "one", poisoning__attack=attack, **settings).result
    nobody = {"poisoning__attack": "none", "poisoning__malicious": 0}
    honest = run(tmp_path / "two", **nobody, **settings).result
    assert poisoned["model"]["digest"] != honest["model"]["digest"]
    assert poisoned["rounds"][0]["clients"]["failed"] == 0


def test_same_bits_with_any_number_of_workers_and_after_a_stop(tmp_path):
    """Under attack, with a rule and a server optimiser that remember earlier rounds, and one that draws."""
    settings = {
        "poisoning__attack": "optimised-alie",
        "federation__aggregator": "centred-clipping",
        "federation__pre_aggregators": ["bucketing"],
        "federation__server_optimizer": "fedadam(eta=0.01)",
        "federation__participation": 0.8,
    }
    whole = run(tmp_path / "one", engine__workers=1, **settings)
    digest = whole.result["model"]["digest"]

    def stopping(event):
        if isinstance(event, RoundFinished) and event.record.round == 2:
            raise KeyboardInterrupt

    study = Experiment.quickstart(**{**SETTINGS, **settings, "engine__workers": 2})
    with pytest.raises(KeyboardInterrupt):
        fedrobust.run(study, stopping, out=tmp_path / "two")
    resumed = fedrobust.resume(tmp_path / "two")
    assert resumed.result["model"]["digest"] == digest
    assert resumed.result["resumed-after"] == [2]


@pytest.mark.parametrize(
    "rule",
    [
        "fldetector",
        *(
            pytest.param(rule, marks=pytest.mark.slow)
            for rule in (
                "foolsgold",
                "fltrust(images=50)",
                "sparsefed",
                "bnguard",
                "flshield(images=50)",
                "deepsight(images=50)",
                "lasa",
                "freqfed",
            )
        ),
    ],
)
def test_rules_that_remember_or_ask_the_server_go_on_after_a_stop(tmp_path, rule):
    settings = {"poisoning__attack": "gaussian", "federation__aggregator": rule}
    digest = run(tmp_path / "one", **settings).result["model"]["digest"]

    def stopping(event):
        if isinstance(event, RoundFinished) and event.record.round == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fedrobust.run(Experiment.quickstart(**{**SETTINGS, **settings}), stopping, out=tmp_path / "two")
    assert fedrobust.resume(tmp_path / "two").result["model"]["digest"] == digest


def test_a_proximal_term_keeps_clients_near_the_global_model(tmp_path):
    settings = {
        "poisoning__attack": "none",
        "poisoning__malicious": 0,
        "federation__aggregator": "median",
        "federation__rounds": 1,
    }
    free = last(tmp_path / "free", **settings)["defence"]["honest-norm"]
    held = last(tmp_path / "held", training__proximal=10.0, **settings)["defence"]["honest-norm"]
    assert held < 0.9 * free


def test_own_attacks_and_rules_work_by_dotted_path(tmp_path):
    page = (Path(__file__).parents[2] / "docs/attacks-and-defences.md").read_text()
    code = page.split("```python\n# my_ideas.py\n")[1].split("```")[0]
    (tmp_path / "my_ideas.py").write_text(code)
    study = tmp_path / "study.toml"
    study.write_text(
        "[model]\nname = 'edge-cnn'\nimage-size = 28\n"
        "[federation]\naggregator = 'my_ideas:Nearest'\n"
        "[poisoning]\nattack = 'my_ideas:Reverse(scale=5.0)'\n"
    )
    settings = {**SETTINGS, "federation__rounds": 1, "evaluation__every": 1}
    entry = fedrobust.run(study, out=tmp_path / "run", **settings).result["rounds"][0]
    assert len(entry["defence"]["accepted"]) == 1
    assert entry["defence"]["true-positive-rate"] == 1.0


def test_hospitals_unlike_the_others_are_told_apart(tmp_path):
    entry = last(
        tmp_path / "run",
        data__partition="pathological(classes_per_client=1)",
        data__classes=4,
        poisoning__attack="sign-flip",
        federation__aggregator="krum",
        federation__rounds=1,
    )
    told = entry["defence"]
    assert len(told["rare"]) == 7, "with one class each, everybody is"
    assert told["rare-false-positive-rate"] == told["false-positive-rate"]
    assert np.isfinite(told["distance"])
