import numpy as np
import pytest

from fedrobust.evaluation.clinical import figures


def drawn(draw, n=300, classes=3):
    labels = draw.integers(0, classes, n)
    logits = draw.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]
    return labels, logits


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
    for name in ("balanced accuracy", "auc", "mcc", "recall 0", "recall 1", "disease missed"):
        assert found[name].few, name
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


@pytest.mark.parametrize("classes", [2, 7])
@pytest.mark.parametrize("n", [1, 2, 9, 30, 400])
@pytest.mark.parametrize("sharpness", [0.1, 1.0, 30.0])
def test_no_value_is_outside_its_interval(draw, classes, n, sharpness):
    for _ in range(20):
        labels, logits = drawn(draw, n, classes)
        for name, figure in figures(labels, sharpness * logits, disease=(0,)).items():
            if figure.value is None:
                continue
            low, high = figure.interval
            assert low <= figure.value <= high, name
            assert high > low, name


def test_several_labels_of_disease_are_one_probability():
    """Three labels at 0.2 each mean disease at 0.6, more than one at 0.5: their maximum and minimum mean less."""
    probabilities = np.array([[0.2, 0.2, 0.2, 0.4], [0.5, 0.0001, 0.0001, 0.4998], [0.1, 0.1, 0.1, 0.7]])
    ill = np.repeat(probabilities[:1], 30, axis=0)
    healthy = np.repeat(probabilities[[1, 2]], [3, 27], axis=0)
    labels = np.repeat([1, 3], [30, 30])
    found = figures(labels, np.log(np.concatenate([ill, healthy])), disease=(0, 1, 2))
    assert found["sensitivity at 90% specificity"].value == 1.0
    spoiled = np.repeat(probabilities[[1, 2]], [4, 26], axis=0)
    found = figures(labels, np.log(np.concatenate([ill, spoiled])), disease=(0, 1, 2))
    assert found["sensitivity at 90% specificity"].value == 1.0, "P = 0.6 is above the threshold of 0.5002"


def test_few_images_are_said(draw):
    labels, logits = drawn(draw, 300)
    assert not any(figure.few for figure in figures(labels, logits).values())
    found = figures(labels[:12], logits[:12])
    assert found["accuracy"].few == "12 in all"
    assert found["balanced accuracy"].few == f"{np.bincount(labels[:12]).min()} of a class"
    labels = np.repeat([0, 1], [50, 50])
    almost = np.eye(2)[labels] * 5.0
    almost[:3] *= -1
    found = figures(labels, almost)
    assert found["mcc"].few == found["calibration error"].few == "3 wrong"
    assert found["accuracy"].few is None
    assert found["balanced accuracy"].few == "3 unlike the rest of their class"
