from math import sqrt

import numpy as np
import pytest

from fedrobust.evaluation.calibration_error import BINS, binned, calibration_error


def test_the_square_is_unbiased(draw):
    """Gaps of 0, 0.1 and 0.3 in bins of 8, 40 and 100 images: over 2,000 samples the mean is that of the law."""
    sizes, confidence, truth = np.array([8, 40, 100]), np.array([0.6, 0.8, 0.95]), np.array([0.6, 0.7, 0.65])
    expected = float(sizes @ (truth - confidence) ** 2 / sizes.sum())
    hits = draw.binomial(sizes, truth, (2000, 3))
    said = np.repeat(confidence, sizes)
    plain, unbiased = [], []
    for row in hits:
        right = np.concatenate([np.arange(size) < hit for size, hit in zip(sizes, row, strict=True)])
        bins = binned(right, said)
        assert len(bins.images) == 3
        unbiased.append(bins.squared_error)
        plain.append(bins.shares @ (bins.accuracy - bins.confidence) ** 2)
    error = np.std(unbiased) / sqrt(2000)
    assert np.mean(unbiased) == pytest.approx(expected, abs=4 * error)
    assert np.mean(plain) > expected + 5 * error, "what chance adds is taken off"


def test_one_bin_is_the_closed_form():
    """100 images at 0.99 of which half are right: 0.49^2 less 0.25 / 99."""
    found = calibration_error(np.repeat([True, False], 50), np.full(100, 0.99))
    assert found.value == pytest.approx(sqrt(0.49**2 - 0.25 / 99))


def test_bins_are_intervals_of_confidence(draw):
    """They end at quantiles (k / 30)^2; equal confidences are never cut, whatever the order of the rows."""
    confidence = draw.random(9000)
    bins = binned(draw.random(9000) < 0.5, confidence)
    assert bins.images.tolist() == [10.0 * (2 * k + 1) for k in range(BINS)]
    ranked = np.sort(confidence)
    assert bins.confidence[:2] == pytest.approx([ranked[:10].mean(), ranked[10:40].mean()])
    assert binned(np.ones(24, bool), confidence[:24]).images.min() >= 8
    assert binned(np.ones(15, bool), confidence[:15]).images.tolist() == [15]
    levels = np.repeat([0.6, 0.9], [40, 60])
    right = np.arange(100) % 3 > 0
    bins = binned(right, levels)
    assert bins.images.tolist() == [40, 60]
    assert bins.confidence == pytest.approx([0.6, 0.9])
    order = draw.permutation(100)
    assert calibration_error(right[order], levels[order]) == calibration_error(right, levels)


def test_a_calibrated_model_has_an_error_of_zero_within_reach(draw):
    inside = 0
    for _ in range(300):
        confidence = 0.5 + draw.random(200) / 2
        found = calibration_error(draw.random(200) < confidence, confidence)
        inside += found.interval[0] == 0.0
        assert 0 <= found.interval[0] <= found.value <= found.interval[1]
        assert found.interval[1] > 0.01
    assert 0.92 <= inside / 300 <= 0.98


def test_more_images_know_more(draw):
    widths = []
    for n in (156, 2005):
        confidence = 0.5 + draw.random(n) / 2
        low, high = calibration_error(draw.random(n) < confidence**2, confidence).interval
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_no_errors_leave_room_for_confidence_that_is_too_high():
    """156 right answers at 0.95: the share may be 0.95 all the same, or below, as Wilson's interval says."""
    found = calibration_error(np.ones(156, bool), np.full(156, 0.95))
    assert found.value == pytest.approx(0.05)
    assert found.interval[1] >= 0.05
    assert calibration_error(np.ones(1, bool), np.ones(1)) is None
