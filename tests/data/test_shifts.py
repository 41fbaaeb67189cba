"""Site shifts: what each does to images, labels and classes, and who has which."""

import numpy as np
import pytest

from fedrobust.data.dataset import DataError, Split
from fedrobust.data.shifts import SITE_SHIFTS, SiteShifts
from fedrobust.data.shifts.assigned import changes_images
from fedrobust.data.shifts.blur import Blur
from fedrobust.data.shifts.burn_in import BurnIn
from fedrobust.data.shifts.gamma import GAMMAS, Gamma
from fedrobust.data.shifts.label_noise import LabelNoise
from fedrobust.data.shifts.low_contrast import LowContrast
from fedrobust.data.shifts.noise import DEVIATIONS, Noise
from fedrobust.data.shifts.prevalence import Prevalence
from fedrobust.data.shifts.resolution import Resolution
from fedrobust.data.shifts.without_classes import WithoutClasses
from fedrobust.spec import SpecError

SCANNERS = [Gamma, LowContrast, Blur, Noise, Resolution, BurnIn]


def drawn(n=6, side=20, channels=1, classes=3) -> Split:
    draw = np.random.default_rng(1)
    images = draw.integers(0, 256, (n, side, side, channels), np.uint8)
    return Split(images, (np.arange(n) % classes).astype(np.int32))


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shift", SCANNERS)
def test_scanners_change_images_more_with_severity_and_no_label(shift, channels):
    split = drawn(channels=channels)
    differences = []
    for severity in range(1, 6):
        found = shift(severity=severity)(split, 3, rng())
        assert found.images.shape == split.images.shape
        assert found.images.dtype == np.uint8
        np.testing.assert_array_equal(found.labels, split.labels)
        differences.append(np.abs(found.images.astype(int) - split.images).mean())
    assert differences == sorted(differences)
    assert differences[0] > 0
    assert changes_images(shift())


def test_gamma_is_the_power_of_the_pixel():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    found = Gamma(severity=2)(Split(levels, np.zeros(1, np.int32)), 2, rng()).images.ravel()
    np.testing.assert_array_equal(found, np.floor(255 * (np.arange(256) / 255) ** GAMMAS[1] + 0.5))
    lighter = Gamma(severity=2, darker=False)(Split(levels, np.zeros(1, np.int32)), 2, rng()).images.ravel()
    assert (lighter >= levels.ravel()).all()


def test_low_contrast_keeps_the_mean_of_every_channel():
    split = drawn(channels=3)
    found = LowContrast(severity=5)(split, 3, rng()).images
    np.testing.assert_allclose(found.mean((1, 2)), split.images.mean((1, 2)), atol=0.5)
    np.testing.assert_allclose(found.std((1, 2)), 0.3 * split.images.std((1, 2)), rtol=0.02)


def test_blur_keeps_constant_images_and_channels_apart():
    constant = Split(np.full((1, 12, 12, 3), (10, 100, 200), np.uint8), np.zeros(1, np.int32))
    np.testing.assert_array_equal(Blur(severity=5)(constant, 2, rng()).images, constant.images)


def test_noise_has_the_standard_deviation_of_its_severity():
    grey = Split(np.full((8, 64, 64, 1), 128, np.uint8), np.zeros(8, np.int32))
    found = Noise(severity=2)(grey, 2, rng()).images / 255
    assert found.std() == pytest.approx(DEVIATIONS[1], rel=0.02)
    assert found.mean() == pytest.approx(128 / 255, abs=0.002)


def test_resolution_averages_over_its_factor():
    blocks = np.kron(np.array([[0, 100], [200, 50]], np.uint8), np.ones((4, 4), np.uint8)).reshape(1, 8, 8, 1)
    found = Resolution(severity=5)(Split(blocks, np.zeros(1, np.int32)), 2, rng()).images[0, ..., 0]
    # Two by two areas of four pixels each have these values; their corners stay, between them it is interpolated.
    assert [int(found[0, 0]), int(found[0, 7]), int(found[7, 0]), int(found[7, 7])] == [0, 100, 200, 50]
    assert len(np.unique(found)) > 4


@pytest.mark.parametrize("corner", ["top-left", "top-right", "bottom-left", "bottom-right"])
def test_text_is_burnt_into_one_corner(corner):
    black = Split(np.zeros((2, 32, 32, 3), np.uint8), np.zeros(2, np.int32))
    found = BurnIn(severity=4, text="R", corner=corner)(black, 2, rng()).images
    rows = slice(0, 16) if "top" in corner else slice(16, 32)
    columns = slice(0, 16) if "left" in corner else slice(16, 32)
    inside = found[:, rows, columns]
    assert inside.max() > 200
    assert found.astype(int).sum() == inside.astype(int).sum(), "nothing outside of the corner"


def test_text_without_ink_is_refused():
    black = Split(np.zeros((1, 28, 28, 1), np.uint8), np.zeros(1, np.int32))
    with pytest.raises(DataError, match="nothing of it is visible on 28 x 28 pixels"):
        BurnIn(text=" ")(black, 2, rng())


def test_label_noise_changes_its_share_of_labels_and_no_image():
    split = drawn(n=30)
    found = LabelNoise(share=0.3)(split, 3, rng())
    assert (found.labels != split.labels).sum() == 9
    assert set(found.labels) <= {0, 1, 2}
    np.testing.assert_array_equal(found.images, split.images)
    pair = LabelNoise(share=1.0, kind="next")(split, 3, rng())
    np.testing.assert_array_equal(pair.labels, (split.labels + 1) % 3)
    assert not changes_images(LabelNoise())


def test_missing_classes_are_taken_away():
    split = drawn(n=9)
    found = WithoutClasses(classes=(0, 2))(split, 3, rng())
    np.testing.assert_array_equal(found.images, split.images[split.labels == 1])
    with pytest.raises(DataError, match=r"without-classes\(classes=\[3\]\): classes are 0 to 2"):
        WithoutClasses(classes=(3,))(split, 3, rng())
    with pytest.raises(DataError, match="none of 9 images has another label"):
        WithoutClasses(classes=(0, 1, 2))(split, 3, rng())


def test_prevalence_leaves_as_many_as_the_shares_allow():
    split = Split(np.zeros((100, 2, 2, 1), np.uint8), np.repeat([0, 1, 2], [60, 30, 10]).astype(np.int32))
    assert Prevalence(shares=(0.6, 0.3, 0.1))(split, 3, rng()).counts(3).tolist() == [60, 30, 10]
    assert Prevalence(shares=(0.5, 0.5, 0.0))(split, 3, rng()).counts(3).tolist() == [30, 30, 0]
    assert Prevalence(shares=(0.1, 0.2, 0.7))(split, 3, rng()).counts(3).tolist() == [1, 2, 10]


@pytest.mark.parametrize(
    ("shares", "why"),
    [
        ((0.5, 0.5), "3 shares that sum to 1 are needed"),
        ((0.5, 0.4, 0.2), "3 shares that sum to 1 are needed"),
        ((0.001, 0.0, 0.999), "none would be left"),
    ],
)
def test_prevalences_that_cannot_be_are_refused(shares, why):
    split = Split(np.zeros((3, 2, 2, 1), np.uint8), np.array([0, 0, 1], np.int32))
    with pytest.raises(DataError, match=why):
        Prevalence(shares=shares)(split, 3, rng())


def test_clients_have_their_shifts_in_order_and_others_none():
    shifts = SiteShifts.of(
        ["0-1, 3: gamma(severity=5) + low-contrast", "4: label-noise(share=1.0)"], clients=6
    )
    split = drawn()
    both = LowContrast()(Gamma(severity=5)(split, 3, rng()), 3, rng())
    for client in (0, 1, 3):
        np.testing.assert_array_equal(shifts.trained(client, split, 3, seed=0).images, both.images)
        np.testing.assert_array_equal(shifts.tested(client, split, 3, seed=0).images, both.images)
    assert shifts.trained(2, split, 3, seed=0) is split
    assert (shifts.trained(4, split, 3, seed=0).labels != split.labels).all()
    assert shifts.tested(4, split, 3, seed=0) is split, "labels of tests are true"
    assert [shifts.changes_counts(client) for client in range(6)] == [False] * 4 + [True, False]
    assert [bool(shifts.scanner(client)) for client in range(6)] == [True, True, False, True, False, False]


def test_training_images_differ_by_client_and_test_images_by_scanner():
    shifts, split = SiteShifts.of(["noise"], clients=2), drawn()
    one, other = (shifts.trained(client, split, 3, seed=0).images for client in (0, 1))
    assert (one != other).any()
    np.testing.assert_array_equal(one, shifts.trained(0, split, 3, seed=0).images)
    assert (one != shifts.trained(0, split, 3, seed=1).images).any()
    np.testing.assert_array_equal(
        shifts.tested(0, split, 3, seed=0).images, shifts.tested(1, split, 3, seed=0).images
    )


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["0:"], '"CLIENTS: NAME \\+ NAME" is allowed, as in "0-2, 5: blur'),
        (["x: blur"], 'clients "x": numbers and ranges are allowed'),
        (["3-1: blur"], "the study has clients 0 to 4, ranges ascend"),
        (["5: blur"], "the study has clients 0 to 4"),
        (["0-2: blur", "2: noise"], "client 2 has a line already"),
        (["0: blurr"], 'did you mean "blur"'),
        (["0: without-classes(classes=[])"], "choose a list of one value or more"),
        (["0: prevalence"], "shares"),
        (["0: blur(severity=6)"], "choose a whole number from 1 to 5"),
    ],
)
def test_lines_that_cannot_be_read_are_refused(lines, why):
    with pytest.raises((SpecError, LookupError), match=why):
        SiteShifts.of(lines, clients=5)


def test_the_client_is_named_whose_shift_fails():
    shifts = SiteShifts.of(["1: without-classes(classes=[0, 1, 2])"], clients=2)
    with pytest.raises(DataError, match=r'data.site-shifts, client 1, "without-classes.*none of 6 images'):
        shifts.trained(1, drawn(), 3, seed=0)


def test_every_shift_is_tested_here():
    assert set(SITE_SHIFTS) == {
        "gamma",
        "low-contrast",
        "blur",
        "noise",
        "resolution",
        "burn-in",
        "label-noise",
        "without-classes",
        "prevalence",
    }
