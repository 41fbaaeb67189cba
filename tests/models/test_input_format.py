"""Descriptions of images: what is read, what is refused, and what becomes of pixels."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from fedrobust.errors import ConfigError
from fedrobust.models.input_format import GRAMMAR, LONGEST, UNIT, InputFormat

IMAGENET = InputFormat(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0..1", UNIT),
        ("0..255", InputFormat(high=255.0)),
        ("-1..1", InputFormat(low=-1.0)),
        ("[ -.5, 1e2 ]", InputFormat(-0.5, 100.0)),
        ("+0.25 .. 2.", InputFormat(0.25, 2.0)),
        ("rgb", UNIT),
        ("bgr", InputFormat(bgr=True)),
        ("channels-first", InputFormat(channels_first=True)),
        ("channels-last", UNIT),
        ("float32", UNIT),
        ("uint8", InputFormat(high=255.0, whole=True)),
        ("uint8 0..255", InputFormat(high=255.0, whole=True)),
        ("float32 0..2", InputFormat(high=2.0)),
        ("mean=0.5", InputFormat(mean=(0.5,))),
        ("std=1e-2", InputFormat(std=(0.01,))),
        ("mean = [0.485, 0.456, 0.406] std=0.229 0.224 0.225", IMAGENET),
        ("Mean=0.5;STD=0.25,BGR", InputFormat(mean=(0.5,), std=(0.25,), bgr=True)),
        (" ,;\t0..255 ;, bgr\n;", InputFormat(high=255.0, bgr=True)),
        (
            "mean=-1 2,std=3 4 channels-first 0..5",
            InputFormat(0.0, 5.0, (-1.0, 2.0), (3.0, 4.0), channels_first=True),
        ),
    ],
)
def test_a_description_is_read_in_any_order_case_and_punctuation(text, expected):
    assert InputFormat.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \t\n", "empty"),
        ("0..1".ljust(LONGEST + 1), "too long"),
        ("0-255", "'0-255' is not understood"),
        ("0..255 grey", "'grey' is not understood"),
        ("X0..1", "'x0..1' is not understood"),
        ("0..255X", "'0..255x' is not understood"),
        ("0..1 0..255", "'0..255' repeats an earlier part"),
        ("bgr rgb", "'rgb' repeats an earlier part"),
        ("mean=0.1 mean=0.1", "'mean=0.1' repeats an earlier part"),
        ("1..0", "the range 1..0 does not rise"),
        ("0.5..0.5", "the range 0.5..0.5 does not rise"),
        (f"0..1{'0' * 330}", "the range 0..inf does not rise"),
        (f"-1{'0' * 330}..0", "the range -inf..0 does not rise"),
        ("std=0", "a standard deviation is not above 0"),
        ("std=1 -1 1", "a standard deviation is not above 0"),
        (f"std=1{'0' * 330}", "a standard deviation is not above 0"),
        (f"mean=0 1{'0' * 330}", "a mean is not finite"),
        ("uint8 0..1", "uint8 images run from 0 to 255, not from 0 to 1"),
        ("-1..255 uint8", "uint8 images run from 0 to 255, not from -1 to 255"),
    ],
)
def test_a_description_that_is_none_is_refused_with_its_setting_and_the_grammar(text, reason):
    with pytest.raises(ConfigError) as refusal:
        InputFormat.parse(text, "control")
    message = str(refusal.value)
    assert message.startswith("control = '")
    assert message.endswith(f": {reason}; {GRAMMAR}")


def test_the_setting_is_input_unless_it_is_named_and_a_long_text_is_cut():
    with pytest.raises(ConfigError, match=f"^input = '': empty; {GRAMMAR[:6]}"):
        InputFormat.parse("")
    with pytest.raises(ConfigError, match=r"^input = 'a{39}\.\.\.a{19}': 'a{39}\.\.\.a{19}' is not"):
        InputFormat.parse("a" * LONGEST)
    assert InputFormat.parse("0..1".ljust(LONGEST)) == UNIT, "the longest text that is read"


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ("0..1", UNIT),
        ("0..255", InputFormat(high=255.0)),
        ("-1..1", InputFormat(low=-1.0)),
        ("0..255 bgr", InputFormat(high=255.0, bgr=True)),
        ("0..1 bgr channels-first", InputFormat(bgr=True, channels_first=True)),
        ("mean=0.5", InputFormat(mean=(0.5,))),
        ("std=0.25", InputFormat(std=(0.25,))),
        ("mean=0.485 0.456 0.406, std=0.229 0.224 0.225", IMAGENET),
        ("-1..1, mean=0.5", InputFormat(low=-1.0, mean=(0.5,))),
        ("0..2, std=0.5 channels-first", InputFormat(high=2.0, std=(0.5,), channels_first=True)),
        ("uint8", InputFormat(high=255.0, whole=True)),
        ("uint8, mean=127.5, std=64 bgr", InputFormat(0.0, 255.0, (127.5,), (64.0,), bgr=True, whole=True)),
    ],
)
def test_the_text_of_a_format_is_short_and_reads_as_it(text, format):
    assert str(format) == text
    assert InputFormat.parse(text) == format


def test_numbers_and_colours_have_to_fit_the_channels():
    for fitting in (InputFormat(mean=(0.5,)), InputFormat(std=(1.0, 2.0)), InputFormat(bgr=False)):
        fitting.check_channels(2, "net")
    InputFormat(mean=(1.0, 2.0, 3.0), std=(1.0,), bgr=True).check_channels(3, "net")
    for key in ("mean", "std"):
        with pytest.raises(ConfigError) as refusal:
            InputFormat(**{key: (1.0, 2.0)}).check_channels(3, "net.keras")
        assert str(refusal.value) == (
            f"input = '{key}=1 2': 2 numbers in {key}; net.keras takes images of 3 channels: give one number, or one a "
            "channel"
        )
    with pytest.raises(ConfigError) as refusal:
        InputFormat(bgr=True).check_channels(1, "net.keras")
    assert str(refusal.value) == "input = '0..1 bgr': bgr, but net.keras takes images of 1 channels"


PIXELS = np.array([0.0, 0.1, 0.25, 0.5, 0.7, 1.0], np.float32).reshape(1, 1, 2, 3)


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        (UNIT, PIXELS),
        (InputFormat(high=255.0), 255 * PIXELS),
        (InputFormat(low=-1.0), 2 * PIXELS - 1),
        (InputFormat(low=0.5), 0.5 + PIXELS / 2),
        (InputFormat(high=255.0, whole=True), np.round(255 * PIXELS)),
        (InputFormat(mean=(0.5,)), PIXELS - 0.5),
        (InputFormat(std=(0.25,)), 4 * PIXELS),
        (IMAGENET, (PIXELS - np.array(IMAGENET.mean)) / np.array(IMAGENET.std)),
        (InputFormat(bgr=True), PIXELS[..., ::-1]),
        (InputFormat(bgr=True, mean=(1.0, 2.0, 3.0)), PIXELS[..., ::-1] - np.array([1, 2, 3])),
        (InputFormat(channels_first=True), PIXELS.transpose(0, 3, 1, 2)),
        (InputFormat(0.0, 255.0, (100.0,), (2.0,), whole=True), (np.round(255 * PIXELS) - 100) / 2),
    ],
)
def test_pixels_go_through_colours_range_rounding_mean_and_deviation_in_this_order(format, expected):
    found = format(tf.constant(PIXELS))
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_images_in_the_unit_range_are_passed_on_as_they_are():
    images = tf.constant(PIXELS)
    assert UNIT(images) is images


def test_rounding_has_the_gradient_of_the_identity():
    images = tf.constant(PIXELS)
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(InputFormat(high=255.0, whole=True)(images) ** 2)
    np.testing.assert_allclose(tape.gradient(total, images), 2 * np.round(255 * PIXELS) * 255, rtol=1e-6)


def test_the_range_is_written_alone():
    format = InputFormat(-1.0, 127.5, (3.0,))
    assert (format.range, dataclasses.replace(format, low=0.0).range) == ("-1..127.5", "0..127.5")
