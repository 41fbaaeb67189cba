import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, recall_score, roc_auc_score

from fedrobust.evaluation.intervals import mean_of_proportions, wilson
from fedrobust.evaluation.metrics import log_odds, measure
from fedrobust.runs.record import MetricsRecord, to_json


def answers(classes, n=300, seed=0, strength=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, n, p=np.arange(1, classes + 1) / sum(range(1, classes + 1)))
    return labels, rng.standard_normal((n, classes)) + strength * np.eye(classes)[labels]


@pytest.mark.parametrize("classes", [2, 7])
def test_every_figure_equals_scikit_learns(classes):
    labels, logits = answers(classes)
    metrics = measure(labels, logits)
    predictions = logits.argmax(axis=1)
    assert metrics.accuracy == accuracy_score(labels, predictions)
    assert metrics.correct == accuracy_score(labels, predictions, normalize=False)
    assert metrics.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, predictions), abs=1e-15)
    assert metrics.recall == pytest.approx(recall_score(labels, predictions, average=None), abs=1e-15)
    assert metrics.loss == pytest.approx(log_loss(labels, softmax(logits, axis=1)), rel=1e-12)
    assert metrics.predicted == tuple((predictions == c).sum() for c in range(classes))
    assert metrics.majority_rate == max(np.mean(labels == c) for c in range(classes))


@pytest.mark.parametrize("classes", [2, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_auc_and_accuracy_are_medmnists(classes, dtype):
    # Two classes: the last one's probability, threshold 1/2. More: the mean of one-vs-rest areas.
    labels, logits = answers(classes)
    logits = logits.astype(dtype)
    probabilities = softmax(logits.astype(np.float64), axis=1)
    if classes == 2:
        auc = roc_auc_score(labels, probabilities[:, -1])
        accuracy = np.mean((probabilities[:, -1] > 0.5) == labels)
    else:
        auc = (
            sum(roc_auc_score((labels == c).astype(float), probabilities[:, c]) for c in range(classes))
            / classes
        )
        accuracy = np.mean(np.argmax(probabilities, axis=-1) == labels)
    metrics = measure(labels, logits)
    assert metrics.auc == pytest.approx(auc, abs=1e-13)
    assert metrics.accuracy == accuracy


def test_ties_of_quantised_logits_count_half():
    labels, logits = answers(2)
    logits = np.round(logits)
    auc = roc_auc_score(labels, logits[:, 1] - logits[:, 0])
    assert measure(labels, logits).auc == pytest.approx(auc, abs=1e-13)


def test_overconfident_logits_keep_their_order():
    labels, logits = answers(2)
    probabilities = softmax(1e3 * logits, axis=1)
    saturated = roc_auc_score(labels, probabilities[:, 1])
    assert measure(labels, 1e3 * logits).auc == pytest.approx(measure(labels, logits).auc, abs=1e-13)
    assert abs(saturated - measure(labels, logits).auc) > 0.01


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_log_odds_are_the_logit_of_softmax(classes):
    logits = 3 * np.random.default_rng(1).standard_normal((50, classes))
    assert expit(log_odds(logits)) == pytest.approx(softmax(logits, axis=1), rel=1e-12)


def test_log_odds_of_a_far_largest_logit_are_finite():
    odds = log_odds(np.array([[2000.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    assert odds[0] == pytest.approx([2000 - np.log(2), -2000, -2000])
    assert odds[1] == pytest.approx([-np.log(2)] * 3)


def test_a_constant_classifier_is_seen_as_one():
    labels = np.repeat([0, 1], [42, 114])
    metrics = measure(labels, np.tile([0.3, 0.1], (156, 1)))
    assert metrics.predicted == (156, 0)
    assert metrics.recall == (1.0, 0.0)
    assert (metrics.balanced_accuracy, metrics.auc) == (0.5, 0.5)
    assert metrics.accuracy == pytest.approx(42 / 156)
    assert metrics.majority_rate == pytest.approx(114 / 156)
    assert metrics.interval["balanced_accuracy"] == mean_of_proportions([42, 0], [42, 114])
    for name in ("accuracy", "balanced_accuracy", "auc"):
        low, high = metrics.interval[name]
        assert low < getattr(metrics, name) < high


def test_a_perfect_classifier_is_not_certain():
    labels = np.repeat([0, 1, 2], [10, 20, 30])
    metrics = measure(labels, 5.0 * np.eye(3)[labels])
    assert (metrics.accuracy, metrics.balanced_accuracy, metrics.auc) == (1.0, 1.0, 1.0)
    assert metrics.interval["accuracy"] == wilson(60, 60)
    assert metrics.interval["auc"][0] < 0.95
    assert metrics.interval["auc"][1] == 1.0


def test_an_absent_class_has_no_recall_and_no_part_in_the_means():
    rng = np.random.default_rng(2)
    labels, logits = rng.choice([0, 2], 80), rng.standard_normal((80, 3))
    metrics = measure(labels, logits)
    assert metrics.recall[1] is None
    assert metrics.interval["recall"][1] is None
    assert metrics.balanced_accuracy == pytest.approx((metrics.recall[0] + metrics.recall[2]) / 2)
    alone = measure(np.zeros(5, int), logits[:5])
    assert alone.auc is None
    assert alone.interval["auc"] is None


@pytest.mark.parametrize("classes", [2, 7])
def test_the_order_of_images_does_not_matter(classes):
    labels, logits = answers(classes)
    order = np.random.default_rng(3).permutation(labels.size)
    first, second = measure(labels, logits), measure(labels[order], logits[order])
    assert (first.accuracy, first.recall, first.predicted) == (
        second.accuracy,
        second.recall,
        second.predicted,
    )
    assert (first.auc, first.loss) == pytest.approx((second.auc, second.loss), rel=1e-13)
    assert first.interval["auc"] == pytest.approx(second.interval["auc"], rel=1e-12)


@pytest.mark.parametrize("size", [3.4e38, 1e30, 1e-38, 1e-45])
def test_the_largest_and_the_smallest_numbers_of_float32_are_measured(size):
    logits = np.array([[size, -size], [-size, size], [size, -size], [-size, size]], np.float32)
    found = measure(np.array([0, 1, 1, 0]), logits)
    assert (found.accuracy, found.auc) == (0.5, 0.5)
    assert found.loss == pytest.approx(max(np.log(2), float(np.float32(size))), rel=1e-6)


def test_a_shift_of_a_rows_logits_does_not_matter():
    labels, logits = answers(3)
    shifted = measure(labels, logits + np.random.default_rng(4).integers(-50, 50, (labels.size, 1)))
    plain = measure(labels, logits)
    assert (shifted.auc, shifted.loss) == pytest.approx((plain.auc, plain.loss), rel=1e-10)


def test_renaming_the_classes_permutes_the_recalls_and_keeps_the_rest():
    labels, logits = answers(7)
    names = np.random.default_rng(5).permutation(7)
    renamed = measure(np.argsort(names)[labels], logits[:, names])
    plain = measure(labels, logits)
    assert renamed.recall == tuple(plain.recall[c] for c in names)
    assert (renamed.auc, renamed.loss) == pytest.approx((plain.auc, plain.loss), rel=1e-12)


def test_json_is_plain_and_complete():
    labels, logits = answers(3, n=60)
    # One class stays absent: what does not exist must become null, never NaN.
    metrics = measure(np.where(labels == 1, 0, labels).astype(np.uint8), logits.astype(np.float32))
    record = to_json(MetricsRecord.of(metrics))
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert list(record) == [
        *("n", "correct", "accuracy", "balanced_accuracy", "auc", "recall"),
        *("predicted", "majority_rate", "loss", "further", "interval"),
    ]
    assert list(record["interval"]) == ["accuracy", "balanced_accuracy", "auc", "recall"]
    assert record["interval"]["recall"][1] is None
    assert MetricsRecord.of(replace(metrics, auc=None)).auc is None


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_non_finite_logits_are_refused_and_counted(broken):
    labels, logits = answers(3, n=20)
    logits[[4, 4, 7], [0, 2, 1]] = broken
    with pytest.raises(ValueError, match="2 of 20 rows"):
        measure(labels, logits)


@pytest.mark.parametrize(
    ("labels", "logits", "message"),
    [
        ([0, 2], np.zeros((2, 2)), "0 to 1"),
        ([0, -1], np.zeros((2, 2)), "-1"),
        ([0.0, 1.0], np.zeros((2, 2)), "integers"),
        ([[0], [1]], np.zeros((2, 2)), "one per row"),
        ([0, 1], np.zeros((2, 1)), "classes >= 2"),
        ([], np.zeros((0, 2)), "at least one"),
    ],
)
def test_what_does_not_fit_is_refused(labels, logits, message):
    with pytest.raises(ValueError, match=message):
        measure(labels, logits)
