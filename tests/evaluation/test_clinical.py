import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef

from fedrobust.evaluation.clinical import calibration_error, figures, matthews, sensitivity_at


def drawn(draw, n=300, classes=3):
    labels = draw.integers(0, classes, n)
    logits = draw.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]
    return labels, logits


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_matthews_is_scikit_learns(draw, classes):
    labels, logits = drawn(draw, classes=classes)
    confusion = np.zeros((classes, classes))
    np.add.at(confusion, (labels, logits.argmax(1)), 1)
    expected = matthews_corrcoef(labels, logits.argmax(1))
    assert matthews(confusion) == pytest.approx(expected)
    found = figures(labels, logits)["mcc"]
    assert found.value == pytest.approx(expected)
    assert found.interval[0] < expected < found.interval[1]
    assert found.method == "bootstrap"


def test_calibration_error_is_the_formula(draw):
    """Guo et al. (2017), equation 5, written out."""
    confidence = draw.random(500) * 0.5 + 0.5
    right = draw.random(500) < confidence**2
    total = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence >= low) & (confidence < low + 1 / 15)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert calibration_error(right, confidence) == pytest.approx(total, abs=1e-9)


def test_sensitivity_leaves_the_healthy_alone(draw):
    diseased = draw.random(400) < 0.3
    scores = draw.normal(size=400) + 2 * diseased
    sensitivity = sensitivity_at(scores, diseased, 0.9)
    threshold = min(score for score in scores[~diseased] if (scores[~diseased] <= score).mean() >= 0.9)
    assert sensitivity == pytest.approx((scores[diseased] > threshold).mean())
    assert sensitivity_at(scores, diseased, 0.99) <= sensitivity


def test_disease_is_the_label_that_means_it():
    """Of BreastMNIST, 0: a model that calls all of it benign misses all of it."""
    labels = np.repeat([0, 1], [42, 114])
    benign = np.tile([0.0, 5.0], (156, 1))
    found = figures(labels, benign, disease=(0,))
    assert found["disease missed"].counts == (42, 42)
    assert found["disease missed"].constant == 1.0
    assert found["recall 0"].value == 0.0
    assert found["recall 1"].constant == 1.0
    malignant = figures(labels, -benign, disease=(0,))
    assert malignant["disease missed"].value == 0.0
    assert "disease missed" not in figures(labels, benign)


def test_a_constant_classifier_is_told_by_every_figure():
    labels = np.repeat([0, 1], [42, 114])
    found = figures(labels, np.tile([0.0, 5.0], (156, 1)), disease=(0,))
    for name in ("accuracy", "balanced accuracy", "auc", "mcc"):
        assert found[name].value == pytest.approx(found[name].constant), name
    for name, figure in found.items():
        low, high = figure.interval
        assert high - low > 1e-3, f"{name}: no interval is of zero width"
        assert low - 1e-9 <= figure.value <= high + 1e-9, name


def test_a_model_without_an_error_may_still_make_one():
    labels = np.repeat([0, 1], 10)
    found = figures(labels, np.eye(2)[labels] * 5.0)["mcc"]
    low, high = found.interval
    assert (found.value, high) == (1.0, 1.0)
    assert low < 0.75, "twenty right answers do not prove a thousand"
    low, high = figures(labels, -np.eye(2)[labels] * 5.0)["mcc"].interval
    assert low == -1.0
    assert high > -0.75


def test_figures_do_not_change_from_call_to_call(draw):
    labels, logits = drawn(draw)
    assert figures(labels, logits, (1,)) == figures(labels, logits, (1,))
