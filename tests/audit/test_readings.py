"""How a foreign model's answers are judged in other ranges and orders: from made-up answers, sentence by sentence."""

import numpy as np
import pytest

from fedrobust.audit.misreading import (
    IN_A_STUDY,
    MisreadModelError,
    Reading,
    better_readings,
    by_chance,
    check_reading,
    readings,
    usual_formats,
)
from fedrobust.evaluation.intervals import wilson
from fedrobust.models.input_format import UNIT, InputFormat

BYTES, CENTRED = InputFormat(high=255.0), InputFormat(low=-1.0)
LABELS = np.arange(200) % 2


def images(channels=1) -> np.ndarray:
    return np.random.default_rng(0).random((200, 4, 4, channels)).astype(np.float32)


def answers_right(count, labels=LABELS, turned=False) -> np.ndarray:
    """Return logits that are right on the first `count` images; in the reverse order of classes if `turned`."""
    said = np.where(np.arange(len(labels)) < count, labels, 1 - labels)
    return np.eye(2)[1 - said if turned else said]


def reading(format, count, labels=(0, 1)) -> Reading:
    return Reading(format, labels, np.arange(200) < count, np.ones(200, bool))


# -- What is tried -------------------------------------------------------------------------------------------------


def test_grey_networks_are_given_the_usual_ranges_and_their_own_mean():
    shown = images() / 2
    first, second, third, own = usual_formats(shown, 1)
    assert (first, second, third) == (UNIT, BYTES, CENTRED)
    assert own.mean == (float(f"{shown.mean():.3g}"),)
    assert own.std == (float(f"{shown.std():.3g}"),)
    assert list(usual_formats(np.ones((2, 4, 4, 1), np.float32), 1)) == [UNIT, BYTES, CENTRED], "no deviation"


def test_colour_networks_are_given_imagenets_and_colour_images_the_other_order_of_colours():
    imagenet = [
        InputFormat(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        InputFormat(0.0, 255.0, mean=(103.939, 116.779, 123.68), bgr=True),
    ]
    turned = [InputFormat(bgr=True), InputFormat(0.0, 255.0, bgr=True)]
    assert list(usual_formats(images(), 3))[4:] == imagenet
    assert list(usual_formats(images(3), 3))[4:] == imagenet + turned
    assert list(usual_formats(images(3), 1))[4:] == turned


def test_every_format_is_read_in_the_datas_order_and_in_the_best_one():
    given = []

    def answers(format):
        given.append(format)
        return answers_right(180, turned=format == BYTES)

    found = list(readings(answers, LABELS, [UNIT, BYTES], None))
    assert given == [UNIT, BYTES]
    assert [(each.format, each.labels, int(each.right.sum())) for each in found] == [
        (UNIT, (0, 1), 180),
        (BYTES, (0, 1), 20),
        (BYTES, (1, 0), 180),
    ]
    assert [each.kept.tolist() for each in found] == [[True] * 200, [True] * 200, [False, True] * 100]
    known = list(readings(answers, LABELS, [UNIT, BYTES], (1, 0)))
    assert [(each.labels, int(each.right.sum())) for each in known] == [((1, 0), 20), ((1, 0), 180)]


def test_answers_without_numbers_are_never_right():
    def answers(format):
        logits = answers_right(200)
        logits[:30, 0], logits[30:40] = np.nan, np.inf
        return logits

    (found,) = readings(answers, LABELS, [UNIT], None)
    assert found.right.tolist() == [False] * 40 + [True] * 160


def test_an_order_is_judged_on_images_that_did_not_choose_it():
    """Where two outputs say the same on one half only, the other half shows it."""
    said = np.where(np.arange(200) % 4 < 2, 1 - LABELS, LABELS)
    said[::2] = 1 - LABELS[::2]
    found = list(readings(lambda format: np.eye(2)[said], LABELS, [UNIT], None))
    assert found[1].labels == (1, 0)
    assert not found[1].kept[::2].any()


# -- What fits -----------------------------------------------------------------------------------------------------


def test_a_reading_is_above_a_constant_by_the_interval_of_what_was_kept():
    one = Reading(UNIT, (0, 1), np.arange(200) < 120, np.arange(200) < 150)
    low = wilson(120, 150)[0]
    assert one.is_above(low - 1e-9)
    assert not one.is_above(low)
    assert one.differs(reading(BYTES, 1)) == (True, False)
    assert one.differs(reading(UNIT, 1, (1, 0))) == (False, True)


def test_by_chance_is_one_where_nothing_differs():
    same = np.arange(9) < 4
    assert by_chance(same, same) == 1.0
    assert by_chance(np.array([True, True, False]), np.array([False, False, True])) == 0.5


def test_what_is_far_better_fits_and_of_those_what_changes_least_is_first():
    now = reading(UNIT, 100)
    far, alike, both = reading(BYTES, 190), reading(CENTRED, 189), reading(BYTES, 191, (1, 0))
    assert better_readings(now, [both, alike, far], 0.5, True) == [far, alike, both]
    assert better_readings(now, [far, reading(CENTRED, 170)], 0.5, True) == [far], (
        "surely worse than the best"
    )
    assert better_readings(now, [reading(BYTES, 110)], 0.5, True) == [], "may be chance"
    assert better_readings(now, [far], 0.95, True) == [], "not above a constant classifier"
    assert better_readings(now, [], 0.5, True) == []


def test_about_a_model_that_tells_classes_apart_the_gain_must_be_a_twentieth():
    now = reading(UNIT, 180)
    assert better_readings(now, [reading(BYTES, 190)], 0.5, False) == []
    more = reading(BYTES, 200)
    assert better_readings(now, [more], 0.5, False) == [more]
    large = np.arange(2000) < 1900
    before = Reading(UNIT, (0, 1), large, np.ones(2000, bool))
    after = Reading(BYTES, (0, 1), np.arange(2000) < 1999, np.ones(2000, bool))
    assert better_readings(before, [after], 0.5, False) == [], "99 of 2,000 are less than a twentieth"
    assert better_readings(before, [after], 0.5, True) == [after]


# -- What is said --------------------------------------------------------------------------------------------------


def checked(counts, format=UNIT, order=(), told=(False, False), what="", channels=1, shown=None):
    """Check a model that is right on `counts[format]` images; of other formats on half of them, by turns."""
    chance = np.eye(2)[np.arange(200) // 2 % 2]

    def answers(given):
        return answers_right(counts[given]) if given in counts else chance

    return check_reading(
        answers, images() if shown is None else shown, LABELS, channels, format, order, told, what
    )


def question(*given, **settings):
    with pytest.raises(MisreadModelError) as asked:
        checked(*given, **settings)
    return str(asked.value)


def test_a_model_of_another_range_is_asked_about():
    start = (
        "the model, given images as 0..1, is right on 110 of 200 (55.0 %), a constant classifier on 50.0 %. "
        '--input "0..255" gives 190 of 200 (95.0 %). Add what it was trained with; or '
    )
    assert question({UNIT: 110, BYTES: 190}) == f'{start}--input "0..1" --labels "0,1" to go on as it is'
    known = question({UNIT: 110, BYTES: 190}, told=(False, True), order=(0, 1))
    assert known == f'{start}--input "0..1" to go on as it is'


def test_a_companion_is_asked_about_by_its_role():
    for what, end in (("control", IN_A_STUDY), ("edge", "")):
        assert question({UNIT: 110, BYTES: 190}, what=what) == (
            f"{what}, given images as 0..1, is right on 110 of 200 (55.0 %), a constant classifier on 50.0 %. "
            f'--input "{what}=0..255" gives 190 of 200 (95.0 %). Add what it was trained with; or '
            f'--input "{what}=0..1" --labels "{what}=0,1" to go on as it is{end}'
        )


def test_a_turned_order_is_asked_about_where_the_range_was_told():
    assert question({UNIT: 10}, told=(True, False)) == (
        "the model, given images as 0..1, is right on 10 of 200 (5.0 %), a constant classifier on 50.0 %. "
        '--labels "1,0" gives 190 of 200 (95.0 %). Add what it was trained with; or --labels "0,1" to go on as it is'
    )


def test_what_was_told_is_not_doubted():
    assert checked({UNIT: 10, BYTES: 190}, told=(True, True)) == ""
    assert checked({UNIT: 190}, told=(True, False)) == ""


def test_a_model_that_is_good_as_it_is_gets_no_note():
    assert checked({UNIT: 190}) == ""


def test_ranges_that_are_as_good_are_noted():
    counts = {UNIT: 190, BYTES: 190, CENTRED: 189}
    note = (
        'images given as "0..255" (190 of 200) are classified as well as given as 0..1 (190 of 200): say --input if it '
        "was trained with another range"
    )
    assert checked(counts) == note
    assert checked(counts, what="teacher") == f"teacher: {note}"


def test_where_nothing_fits_it_is_said_how_much_was_tried():
    note = (
        "100 of 200 (50.0 %) right is not above a constant classifier's 50.0 %; 3 other ranges of pixels and class "
        "orders were tried, and none fits"
    )
    assert checked({UNIT: 100}, told=(False, True), order=(0, 1)) == note
    assert checked({UNIT: 100}, told=(False, True), order=(0, 1), what="edge") == f"edge: {note}"


@pytest.mark.parametrize(
    ("channels", "tried"), [(1, []), (3, [InputFormat(0.0, 255.0, bgr=True, whole=True)])]
)
def test_of_whole_numbers_only_the_order_of_colours_is_open(channels, tried):
    whole, given = InputFormat(high=255.0, whole=True), []

    def answers(format):
        given.append(format)
        return answers_right(190)

    check_reading(answers, images(channels), LABELS, channels, whole, (0, 1), (False, True))
    assert given == [whole, *tried]


def test_other_ranges_keep_the_axes_of_the_one_that_is_given():
    first, given = InputFormat(channels_first=True), []

    def answers(format):
        given.append(format)
        return answers_right(190)

    check_reading(answers, images(), LABELS, 1, first, (0, 1), (False, True))
    assert given[0] == first
    assert len(given) == len(set(given)) == 4
    assert all(format.channels_first for format in given)
