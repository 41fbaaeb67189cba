"""Breaks: images that count and those that do not, clients that do more than the claim."""

import sys
from dataclasses import replace

import numpy as np
import pytest

import fedrobust
from fedrobust.data.dataset import Split
from fedrobust.leaderboard.claim import (
    BreakRecord,
    ClaimedFigure,
    ClaimedModel,
    ClaimError,
    ClaimRecord,
    read_claim,
)
from fedrobust.leaderboard.client import beyond, client_digest, sweep_of
from fedrobust.leaderboard.images import checked, chosen, measured, robust_accuracy
from fedrobust.prediction.opened import opened
from fedrobust.study import Study

# Four images of one grey level each; the model calls bright ones class 1, and takes the last one wrongly.
TEST = Split(
    np.array([100, 110, 150, 120], np.uint8)[:, None, None, None] * np.ones((4, 2, 2, 1), np.uint8),
    np.array([0, 0, 1, 1], np.int32),
)


def predict(images):
    return (images.reshape(len(images), -1).mean(1) > 0.5).astype(np.int64)


def at(*levels):
    return np.float32(levels)[:, None, None, None] / 255 * np.ones((len(levels), 2, 2, 1), np.float32)


def found(images, index, epsilon, claimed=0.75, norm="linf"):
    return measured(
        images,
        np.array(index),
        TEST,
        epsilon,
        norm,
        claimed,
        predict,
        BreakRecord(kind="images", submission="s", name="n", holds=False),
    )


def test_only_images_within_epsilon_that_change_a_right_answer_count():
    # 100 -> 130 is 30 levels away, 110 -> 130 is 20, 150 -> 125 is 25; 120 was wrong before.
    one = found(at(130, 130, 125, 110), [0, 1, 2, 3], 25 / 255)
    assert (one.images, one.broken, one.accuracy, one.holds) == (3, 2, 0.25, True)
    # An image that is still classified correctly breaks nothing.
    assert found(at(120), [1], 25 / 255).broken == 0
    assert not found(at(120), [1], 25 / 255).holds


def test_in_l2_all_pixels_count():
    """Four pixels, each 20 levels off: 40 levels."""
    assert found(at(130), [1], 41 / 255, norm="l2").broken == 1
    assert found(at(130), [1], 39 / 255, norm="l2").images == 0


def test_images_break_a_claim_only_below_the_accuracy_that_it_states():
    """Three of four are right; with one of them broken two are left."""
    assert found(at(130), [1], 0.1, claimed=0.75).holds
    assert not found(at(130), [1], 0.1, claimed=0.5).holds
    assert not found(at(130), [1], 0.1, claimed=None).holds


def test_of_several_findings_the_right_answers_count():
    """Three findings: those of an image are known by its grey level; one image has one answer wrong before."""
    sets = {100: 0b011, 110: 0b000, 150: 0b111, 120: 0b100, 130: 0b000, 140: 0b110}
    test = replace(TEST, labels=np.array([0b011, 0b000, 0b111, 0b101], np.int32))

    def said(images):
        return np.array([sets[round(255 * level)] for level in images.reshape(len(images), -1).mean(1)])

    none = BreakRecord(kind="images", submission="s", name="n", holds=False)
    # 0: two of three answers lost; 2: one lost; 3: right now, which is no gain; 1: too far.
    sets[125] = 0b101
    images = at(130, 150, 140, 125)
    one = measured(images, np.array([0, 1, 2, 3]), test, 35 / 255, "linf", 0.9, said, none, findings=3)
    assert (one.images, one.broken) == (3, 2)
    assert one.accuracy == pytest.approx((11 - 3) / 12)
    assert one.holds


def submission(**changed):
    own = {"images": np.zeros((2, 2, 2, 1), np.uint8), "labels": np.array([0, 1]), "index": np.array([0, 2])}
    return own | changed


def test_a_right_submission_is_scaled():
    images, index = checked("file", submission(images=np.full((2, 2, 2), 255, np.uint8)), TEST)
    assert images.shape == (2, 2, 2, 1)
    assert images.max() == 1
    assert index.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"labels": np.array([1, 1])}, "1 are not those"),
        ({"labels": np.array([0.0, 1.0])}, "whole numbers"),
        ({"index": np.array([0, 0])}, "each test image once"),
        ({"index": np.array([0, 4])}, "from 0 to 3"),
        ({"index": np.array([-1, 2])}, "from 0 to 3"),
        ({"index": np.array([0])}, "2 whole numbers"),
        ({"images": np.zeros((2, 3, 3, 1), np.uint8)}, "allowed"),
        ({"images": np.zeros((0, 2, 2, 1), np.uint8)}, "allowed"),
        ({"images": np.full((2, 2, 2, 1), 1.5)}, "0 to 1"),
        ({"images": np.full((2, 2, 2, 1), np.nan)}, "0 to 1"),
        ({"images": np.zeros((2, 2, 2, 1), np.int32)}, "int32"),
    ],
)
def test_a_submission_that_does_not_fit_is_refused(changed, words):
    with pytest.raises(ClaimError, match=words):
        checked("file", submission(**changed), TEST)


STUDY = fedrobust.Experiment.of(
    data__samples=150,
    model__name="edge-cnn(width=8)",
    model__image_size=28,
    federation__clients=4,
    federation__rounds=1,
    poisoning__attack="sign-flip",
    poisoning__malicious=1,
    evaluation__examples=0,
    audit__enabled=False,
    distillation__enabled=False,
    export__enabled=False,
).to_dict()


def claim(**changed):
    federation = {key: value for key, value in STUDY["federation"].items() if key != "aggregator"}
    setting = {key: value for key, value in STUDY.items() if key not in ("name", "seed", "engine", "output")}
    own = {
        "setting": setting | {"federation": federation},
        "defence": {"aggregator": "median"},
        "name": "median",
        "worst_attack": {},
        "figures": {"robust accuracy": ClaimedFigure(mean=0.6, values=(0.5, 0.7))},
        "attacks": {},
        "seeds": (3, 4),
        "models": (ClaimedModel(seed=4, attack="none", file="m.keras", digest="abc"),),
        "data": "d",
        "versions": {},
        "unreliable": (),
    }
    return ClaimRecord(**(own | changed))


def test_a_model_is_chosen_by_its_digest_and_has_the_accuracy_of_its_seed():
    one = claim()
    assert chosen(one, "") == chosen(one, "ab") == one.models[0]
    with pytest.raises(ClaimError, match="lists abc"):
        chosen(one, "x")
    assert robust_accuracy(one, one.models[0]) == 0.7
    assert robust_accuracy(replace(one, figures={}), one.models[0]) is None


def test_a_claims_setting_is_run_with_the_client_and_all_seeds(tmp_path):
    cells = sweep_of(claim(), "ipm(epsilon=2)", tmp_path).cells
    assert [cell.experiment.seed for cell in cells] == [3, 4]
    (first, _) = (cell.experiment for cell in cells)
    assert first.poisoning.attack == "ipm(epsilon=2)"
    assert first.federation.aggregator == "median"
    assert first.malicious
    chosen_clients = claim(setting=claim().setting | {"poisoning": {"malicious": [2], "attack": "zero"}})
    assert sweep_of(chosen_clients, "ipm", tmp_path).cells[0].experiment.malicious == (2,)


def test_a_client_breaks_a_claim_by_more_harm_or_more_success():
    worst = {
        "worst balanced_accuracy": ClaimedFigure(mean=0.7),
        "worst attack-success": ClaimedFigure(mean=0.3),
    }
    for balanced, success, breaks in (
        (0.6, 0.1, True),
        (0.8, 0.4, True),
        (0.7, 0.3, False),
        (0.8, 0.1, False),
    ):
        figures = {
            "balanced_accuracy": ClaimedFigure(mean=balanced),
            "attack-success": ClaimedFigure(mean=success),
        }
        assert beyond(figures, worst) == breaks


def test_a_clients_digest_is_that_of_its_code(tmp_path):
    (tmp_path / "some_client.py").write_text("class Attack: pass\n")
    before = client_digest("some_client:Attack", tmp_path)
    assert client_digest("some_client:Attack", tmp_path) == before
    assert client_digest("some_client:Attack(scale=2)", tmp_path) != before
    (tmp_path / "some_client.py").write_text("class Attack: strength = 2\n")
    assert client_digest("some_client:Attack", tmp_path) != before
    with pytest.raises(ClaimError, match="no module"):
        client_digest("nowhere_at_all:Attack", tmp_path)


@pytest.mark.slow
def test_a_sweep_is_claimed_and_broken_by_images_and_by_a_client(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reversing.py").write_text(
        "import numpy as np\n\n\nclass Reverse:\n    def update(self, update, context):\n"
        "        return np.float32(-100) * update\n"
    )
    lines = [
        'name = "claimed"',
        "seed = [0, 1]",
        'poisoning.attack = ["none", "zero"]',
        "poisoning.malicious = 1",
    ]
    lines += ['model.name = "edge-cnn(width=8)"', "model.image-size = 28", "data.samples = 150"]
    lines += ["federation.clients = 4", "federation.rounds = 1", "evaluation.examples = 0"]
    lines += ['evaluation.attacks = ["fgsm"]', 'evaluation.epsilons = ["1/255"]']
    lines += [f"{name}.enabled = false" for name in ("audit", "distillation", "export")]
    (tmp_path / "sweep.toml").write_text("\n".join(lines))
    fedrobust.bench("sweep.toml", out="out", workers=1)
    board = fedrobust.write_leaderboard(["out"])
    (file,) = board.files
    (one,) = board.claims
    assert one.name == "mean"
    assert one.models
    # Noise of one grey level: those that change a right answer are counted as the model itself counts them.
    study = fedrobust.Experiment.of(data__samples=150)

    test = Study.of(study).dataset.test
    model = opened(file.parent / one.models[0].file)
    clean = test.images.astype(np.float32) / 255
    noisy = np.clip(
        clean + np.random.default_rng(0).choice([-1, 1], clean.shape).astype(np.float32) / 255, 0, 1
    )
    own, after = (model.logits(images).argmax(1) for images in (clean, noisy))
    np.savez("adversarial.npz", images=noisy, labels=test.labels, index=np.arange(len(test)))
    broken = fedrobust.break_claim(file, images="adversarial.npz").breaks[-1]
    assert broken.images == len(test)
    assert broken.broken == ((own == test.labels) & (after != test.labels)).sum()
    with pytest.raises(ClaimError, match="already"):
        fedrobust.break_claim(file, images="adversarial.npz")
    after_client = fedrobust.break_claim(file, client="reversing:Reverse", workers=1)
    assert [each.kind for each in after_client.breaks] == ["images", "client"]
    assert after_client.breaks[1].figures["balanced_accuracy"].values
    assert read_claim(file) == after_client
    # Made again, the claim keeps its breaks.
    assert fedrobust.write_leaderboard(["out"]).claims[0].breaks == after_client.breaks
    sys.modules.pop("reversing", None)
