import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score

from fedrobust.data.label_sets import packed
from fedrobust.evaluation.metrics import NotFiniteError
from fedrobust.evaluation.multilabel import measure_multilabel
from fedrobust.evaluation.roc import mean_area


@pytest.fixture
def answered(draw):
    truth = draw.random((200, 5)) < [0.1, 0.3, 0.5, 0.7, 0.02]
    truth[0] = True
    return truth, draw.normal(size=(200, 5)) + 1.5 * truth - 0.7


def test_scores_are_those_of_medmnists_evaluator(answered):
    """Its getAUC: the mean over labels of sklearn's; its getACC: the mean over labels of accuracies at 0.5."""
    truth, logits = answered
    metrics = measure_multilabel(packed(truth), logits)
    probabilities = 1 / (1 + np.exp(-logits))
    auc = np.mean([roc_auc_score(truth[:, k], probabilities[:, k]) for k in range(5)])
    assert metrics.auc == pytest.approx(auc)
    assert metrics.accuracy == pytest.approx(np.mean((probabilities > 0.5) == truth))
    assert metrics.loss == pytest.approx(
        np.mean([log_loss(truth[:, k], probabilities[:, k]) for k in range(5)])
    )
    balanced = [balanced_accuracy_score(truth[:, k], logits[:, k] > 0) for k in range(5)]
    assert metrics.balanced_accuracy == pytest.approx(np.mean(balanced))
    for k, one in enumerate(metrics.labels):
        assert one.auc == pytest.approx(roc_auc_score(truth[:, k], logits[:, k]))
        assert one.positives == truth[:, k].sum()
        assert one.sensitivity == pytest.approx((logits[truth[:, k], k] > 0).mean())
        assert one.specificity == pytest.approx((logits[~truth[:, k], k] <= 0).mean())
    assert metrics.correct == ((logits > 0) == truth).all(1).sum()


def test_a_constant_classifier_scores_what_is_written_beside_every_score(answered):
    truth, _ = answered
    rates = truth.mean(0)
    always = np.tile(np.where(rates > 0.5, 1.0, -1.0), (200, 1))
    metrics = measure_multilabel(packed(truth), always, clean=always)
    assert metrics.accuracy == pytest.approx(metrics.majority_rate)
    assert metrics.correct / metrics.n == metrics.majority_exact
    assert (metrics.auc, metrics.balanced_accuracy, metrics.changed) == (0.5, 0.5, 0.0)
    assert [one.accuracy for one in metrics.labels] == [one.majority_rate for one in metrics.labels]


def test_changed_answers_are_counted_on_attacked_findings(answered):
    truth, clean = answered
    attacked = clean.copy()
    attacked[:50, 1] *= -1
    attacked[40:80, 2] *= -1
    sets = packed(truth)
    assert measure_multilabel(sets, attacked, clean=clean).changed == 0.4
    assert measure_multilabel(sets, attacked, clean=clean, attacked=0b10).changed == 0.25
    assert measure_multilabel(sets, attacked, clean=clean, attacked=0b1).changed == 0.0
    assert measure_multilabel(sets, attacked).changed is None


def test_the_interval_of_the_accuracy_allows_for_answers_that_depend_on_each_other(draw):
    """Coverage over 400 samples: five answers that are all right or all wrong carry the information of one."""
    covered = {True: 0, False: 0}
    for dependent in covered:
        for _ in range(400):
            right = draw.random((100, 1 if dependent else 5)) < 0.8
            right = np.broadcast_to(right, (100, 5))
            truth = draw.random((100, 5)) < 0.5
            logits = np.where(right == truth, 1.0, -1.0)
            low, high = measure_multilabel(packed(truth), logits).interval["accuracy"]
            covered[dependent] += low <= 0.8 <= high
    assert 0.92 < covered[True] / 400 < 0.98
    assert 0.92 < covered[False] / 400 < 0.98


def test_a_finding_that_no_image_has_is_left_out(answered):
    truth, logits = answered
    truth[:, 4] = False
    metrics = measure_multilabel(packed(truth), logits)
    assert (metrics.labels[4].auc, metrics.labels[4].sensitivity, metrics.recall[4]) == (None, None, None)
    assert metrics.auc == pytest.approx(np.mean([one.auc for one in metrics.labels[:4]]))


def test_the_interval_of_the_mean_area_knows_that_curves_share_images(draw):
    """Twice the same curve is one curve: the interval of the mean is that of one."""
    positive = draw.random((80, 1)) < 0.4
    scores = draw.normal(size=(80, 1)) + positive
    once, twice = mean_area(positive, scores), mean_area(np.tile(positive, 2), np.tile(scores, 2))
    assert twice.interval == pytest.approx(once.interval)


@pytest.mark.parametrize(
    ("labels", "logits", "message"),
    [
        ([0, 4], np.zeros((2, 2)), "sets of 2 findings are 0 to 3"),
        ([0], np.zeros((2, 2)), r"give \(2,\) label sets"),
        ([0, 1], np.zeros((2, 1)), "2 to 31 findings"),
    ],
)
def test_what_is_no_label_set_is_refused(labels, logits, message):
    with pytest.raises(ValueError, match=message):
        measure_multilabel(labels, logits)


def test_logits_that_are_not_finite_are_refused():
    with pytest.raises(NotFiniteError, match="1 of 2 rows"):
        measure_multilabel([0, 1], [[0.0, np.nan], [0.0, 0.0]])


def test_the_interval_of_balanced_accuracy_covers_where_hard_images_are_wrong_in_all_findings(draw):
    """Answers of one image depend on each other: 14 findings of 200 images, of which 40 % are hard."""
    covered, widths = [], []
    for _ in range(150):
        truth = draw.random((200, 14)) < 0.3
        hard = draw.random((200, 1)) < 0.4
        right = draw.random((200, 14)) < np.where(hard, 0.3, 0.95)
        metrics = measure_multilabel(packed(truth), np.where(right == truth, 1.0, -1.0))
        low, high = metrics.interval["balanced_accuracy"]
        covered.append(low <= 0.4 * 0.3 + 0.6 * 0.95 <= high)
        widths.append(high - low)
    assert 0.9 <= np.mean(covered) <= 0.99
    assert np.mean(widths) == pytest.approx(0.1, abs=0.02)


def test_the_interval_of_balanced_accuracy_of_all_right_answers_is_that_of_their_numbers():
    truth = np.arange(60).reshape(30, 2) % 3 == 0
    low, high = measure_multilabel(packed(truth), np.where(truth, 1.0, -1.0)).interval["balanced_accuracy"]
    assert 0.8 < low < 0.95
    assert high == 1.0
