import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef

from fedrobust.evaluation.clinical import figures
from fedrobust.evaluation.matthews import matthews, matthews_interval


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_matthews_is_scikit_learns(draw, classes):
    labels = draw.integers(0, classes, 300)
    logits = draw.normal(size=(300, classes)) + 1.5 * np.eye(classes)[labels]
    confusion = np.zeros((classes, classes))
    np.add.at(confusion, (labels, logits.argmax(1)), 1)
    expected = matthews_corrcoef(labels, logits.argmax(1))
    assert matthews(confusion) == pytest.approx(expected)
    found = figures(labels, logits)["mcc"]
    assert found.value == pytest.approx(expected)
    assert found.interval == matthews_interval(confusion)[0]
    assert found.method == "delta"


@pytest.mark.parametrize("classes", [2, 4])
def test_the_variance_is_that_of_numerical_influences(draw, classes):
    """Each image's influence is n times what the correlation changes by if it weighs a little more."""
    confusion = draw.integers(1, 40, (classes, classes)) + 50.0 * np.eye(classes)
    n, value = confusion.sum(), float(matthews(confusion))
    influence, more = np.zeros((classes, classes)), 1e-5
    for cell in np.ndindex(classes, classes):
        heavier = confusion.copy()
        heavier[cell] += more
        influence[cell] = (float(matthews(heavier)) - value) / more * n
    deviation = np.sqrt((confusion * influence**2).sum()) / n
    (low, high), _ = matthews_interval(confusion)
    assert np.arctanh(high) - np.arctanh(low) == pytest.approx(
        2 * 1.959964 * deviation / (1 - value**2), rel=1e-3
    )
    assert np.arctanh(high) + np.arctanh(low) == pytest.approx(2 * np.arctanh(value))


def test_two_classes_have_the_variance_of_phi():
    """Of a symmetric table the correlation is 2 p - 1, p the share of right answers, with variance 4 p (1 - p) / n."""
    (low, high), _ = matthews_interval(np.array([[45.0, 5.0], [5.0, 45.0]]))
    reach = 1.959964 * 2 * np.sqrt(0.9 * 0.1 / 100) / (1 - 0.8**2)
    assert (low, high) == pytest.approx(
        (np.tanh(np.arctanh(0.8) - reach), np.tanh(np.arctanh(0.8) + reach)), rel=1e-6
    )


def test_a_model_without_an_error_may_still_make_one():
    labels = np.repeat([0, 1], 10)
    found = figures(labels, np.eye(2)[labels] * 5.0)["mcc"]
    low, high = found.interval
    assert (found.value, high) == (1.0, 1.0)
    assert low < 0.75, "twenty right answers do not prove a thousand"
    low, high = figures(labels, -np.eye(2)[labels] * 5.0)["mcc"].interval
    assert low == -1.0
    assert high > -0.75
