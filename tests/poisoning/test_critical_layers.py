"""Layer-wise poisoning: which layers a backdoor needs, and what is sent."""

from types import SimpleNamespace

import numpy as np
import pytest

from fedrobust.data.dataset import Split
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.poisoning import Attack, AttackContext, AttackerTools
from fedrobust.poisoning.training.critical_layers import critical, cuts

SIZES = {"a": 2, "b": 3, "c": 1, "d": 4}
LAYOUT = Layout(tuple(Entry(name, (size,), "trainable") for name, size in SIZES.items()))
PLACES = dict(zip(SIZES, cuts(LAYOUT), strict=True))
STATISTICS = np.zeros(0, np.float32)


def model(**levels) -> Weights:
    """Return weights whose layers have the given levels, 0 by default."""
    trainable = np.zeros(LAYOUT.parameters, np.float32)
    for name, level in levels.items():
        trainable[PLACES[name]] = level
    return Weights(trainable, STATISTICS)


BENIGN, MALICIOUS = model(a=1, b=1, c=1, d=1), model(a=3, b=3, c=3, d=3)


def success(shares, both=0.0):
    """Return the success of a model: the shares of its malicious layers, and more if b and c are malicious together."""

    def of(weights):
        bad = {name: weights.trainable[place][0] == 3 for name, place in PLACES.items()}
        return sum(share * bad[name] for name, share in shares.items()) + both * (bad["b"] and bad["c"])

    return of


@pytest.mark.parametrize(
    ("shares", "both", "threshold", "chosen"),
    [
        ({"b": 1.0}, 0.0, 0.95, "b"),
        ({"a": 0.1, "b": 0.6, "d": 0.3}, 0.0, 0.95, "bda"),
        ({"a": 0.1, "b": 0.6, "d": 0.3}, 0.0, 0.85, "bd"),
        ({"a": 0.1, "b": 0.6, "d": 0.3}, 0.0, 0.6, "b"),
        ({"b": 0.1, "c": 0.1}, 0.8, 0.95, "bc"),
        ({}, 0.0, 0.95, "a"),
    ],
)
def test_the_layers_that_a_backdoor_needs_by_hand(shares, both, threshold, chosen):
    found = critical(BENIGN, MALICIOUS, list(PLACES.values()), success(shares, both), threshold)
    assert found == [PLACES[name] for name in chosen]


def transcribed(benign, malicious, places, of, threshold):
    """Return the critical layers by the paper's three steps, written out."""
    ranked = []
    for number, place in enumerate(places):
        hybrid = malicious.trainable.copy()
        hybrid[place] = benign.trainable[place]
        ranked.append((of(Weights(hybrid, STATISTICS)) - of(malicious), number))
    chosen, hybrid = [], benign.trainable.copy()
    for _, number in sorted(ranked):
        chosen.append(places[number])
        hybrid[places[number]] = malicious.trainable[places[number]]
        if of(Weights(hybrid.copy(), STATISTICS)) >= threshold * of(malicious):
            break
    return chosen


@pytest.mark.parametrize("seed", range(5))
def test_the_layers_are_those_of_the_paper_on_random_networks(seed):
    draw = np.random.default_rng(seed)
    benign, malicious = (Weights(draw.standard_normal(10).astype(np.float32), STATISTICS) for _ in range(2))
    images = draw.standard_normal((40, 10))

    def of(weights):
        return float((images @ weights.trainable > 0.3).mean())

    for threshold in (0.5, 0.95, 1.0):
        found = critical(benign, malicious, cuts(LAYOUT), of, threshold)
        assert found == transcribed(benign, malicious, cuts(LAYOUT), of, threshold)


def sent(text, of, start=None):
    """Return the trainable weights of an attack whose benign training gives BENIGN and whose poisoned one MALICIOUS."""
    clean = Split(np.zeros((2, 4, 4, 1), np.uint8), np.array([0, 1], np.int32))
    poisoned = Split(clean.images, np.array([0, 0], np.int32))
    asked = []

    def update(begin, split, **changed):
        asked.append((begin, split))
        return BENIGN if split is clean else MALICIOUS

    tools = AttackerTools(clean, poisoned, update, success=of)
    start = start or model()
    found = Attack.parse(text).train(start, AttackContext(layout=LAYOUT, tools=tools))
    assert [split for _, split in asked] == [clean, poisoned]
    assert [begin for begin, _ in asked] == [start, BENIGN], (
        "malicious training goes on from the benign model"
    )
    return found.trainable


def test_malicious_layers_are_sent_in_a_benign_model():
    found = sent("pixel-backdoor + critical-layers", success({"b": 1.0}))
    np.testing.assert_array_equal(found, model(a=1, b=3, c=1, d=1).trainable)


@pytest.mark.parametrize(
    ("strength", "level"), [(0.5, 0.5 * 3 + 0.5 * 1), (1.0, 3.0), (2.0, 6.0), (0.1, 1.2)]
)
def test_strength_is_equation_4(strength, level):
    found = sent(f"pixel-backdoor + critical-layers(strength={strength})", success({"b": 1.0}))
    np.testing.assert_allclose(found, model(a=1, b=level, c=1, d=1).trainable, rtol=1e-6)


def test_updates_count_from_the_global_model():
    start = model(a=0.5, b=0.5, c=0.5, d=0.5)
    found = sent("pixel-backdoor + critical-layers(strength=2.0)", success({"b": 1.0}), start)
    np.testing.assert_allclose(found, model(a=1, b=0.5 + 2 * 2.5, c=1, d=1).trainable)


def test_without_an_image_to_succeed_on_the_update_is_benign():
    found = sent("pixel-backdoor + critical-layers", lambda weights: float("nan"))
    np.testing.assert_array_equal(found, BENIGN.trainable)


def test_it_needs_a_targeted_companion():
    problem = SimpleNamespace(image_shape=(28, 28, 1), classes=2)
    for text in ("critical-layers", "label-flip + critical-layers"):
        with pytest.raises(ValueError, match="it needs a backdoor or another targeted attack, as in"):
            Attack.parse(text).require(problem, 0)
    Attack.parse("semantic-backdoor + critical-layers").require(problem, 0)
