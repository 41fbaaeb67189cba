"""An exported file as a target: what it is given and how its answers are read, with an interpreter that is none."""

from types import SimpleNamespace

import numpy as np
import pytest

from fedrobust.audit import exported as module
from fedrobust.audit.exported import ExportedTarget, coded_range
from fedrobust.edge.interpreter import Quantisation
from fedrobust.evasion import NotDifferentiableError
from fedrobust.models.input_format import UNIT, InputFormat
from fedrobust.models.interface import Interface

SHAPE = (3, 2, 1)
BYTES, CENTRED = InputFormat(0.0, 255.0), InputFormat(-1.0, 1.0)


class Interpreter:
    """A file that answers with `score(mean of what it is given)`; it takes at most four images at a time."""

    image_shape, batch = SHAPE, 4

    def __init__(self, score, code=None):
        self.score, self.input_code, self.given = score, code, []

    def load(self, images):
        assert images.dtype == np.float32
        assert len(images) <= self.batch
        self.given.append(images)
        self.answers = None

    def invoke(self):
        self.answers = self.score(self.given[-1].mean(axis=(1, 2, 3)))

    def read(self):
        return self.answers


def logits(mean):
    return np.stack([-mean, mean, 0 * mean], axis=1).astype(np.float32)


def softmax(mean):
    powers = np.exp(logits(mean))
    return powers / powers.sum(axis=1, keepdims=True)


def sigmoid(mean):
    return (1 / (1 + np.exp(-4 * (mean - 0.5))))[:, None].astype(np.float32)


@pytest.fixture
def opened(monkeypatch):
    def opened(score, code=None, **told) -> tuple[ExportedTarget, Interpreter]:
        interpreter = Interpreter(score, code)
        monkeypatch.setattr(module, "Interpreter", SimpleNamespace(open=lambda path: interpreter))
        target = ExportedTarget("small.tflite", Interface(**told))
        interpreter.given.clear()
        return target, interpreter

    return opened


@pytest.fixture
def images(draw):
    return draw.random((10, *SHAPE)).astype(np.float32)


def test_images_are_given_in_batches_and_answers_are_those_of_all(opened, images):
    target, interpreter = opened(logits)
    assert (target.shape, target.classes) == (SHAPE, 3)
    mean = images.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(target.logits(images), logits(mean), atol=1e-6)
    assert [len(given) for given in interpreter.given] == [4, 4, 2]
    np.testing.assert_allclose(np.concatenate(interpreter.given), images, atol=1e-7)
    assert target.logits(images[:0]).shape == (0, 3)
    assert len(interpreter.given) == 3


def test_nothing_outside_of_black_and_white_is_given(opened, images):
    target, interpreter = opened(logits)
    target.logits(images * 3 - 1)
    given = np.concatenate(interpreter.given)
    assert (given.min(), given.max()) == (0, 1)


@pytest.mark.parametrize(
    ("told", "code", "expected"),
    [
        ({}, None, UNIT),
        ({"assumed": CENTRED}, None, CENTRED),
        ({"assumed": CENTRED}, Quantisation(1.0, 0, "uint8"), BYTES),
        ({"assumed": CENTRED}, Quantisation(0.5, 0, "uint8"), CENTRED),
        ({"input": UNIT, "assumed": CENTRED}, Quantisation(1.0, 0, "uint8"), UNIT),
    ],
)
def test_the_range_is_told_or_shown_by_the_code_or_assumed(opened, images, told, code, expected):
    target, interpreter = opened(logits, code, **told)
    assert target.format == expected
    target.logits(images)
    width = expected.high - expected.low
    np.testing.assert_allclose(np.concatenate(interpreter.given), expected.low + width * images, atol=1e-4)
    target.raw(images, BYTES)
    np.testing.assert_allclose(interpreter.given[-1], 255 * images[8:], atol=1e-3)


def test_probabilities_are_read_as_logits(opened, images):
    target, _ = opened(softmax)
    mean = images.mean(axis=(1, 2, 3))
    found, expected = target.logits(images), logits(mean)
    centred = [one - one.mean(axis=1, keepdims=True) for one in (found, expected)]
    np.testing.assert_allclose(*centred, atol=1e-4)


def test_one_unit_is_the_score_of_the_second_of_two_classes(opened, images):
    target, _ = opened(sigmoid)
    assert target.classes == 2
    assert target.logits(images[:0]).shape == (0, 2)
    found = target.logits(images)
    np.testing.assert_allclose(found[:, 1] - found[:, 0], 4 * (images.mean(axis=(1, 2, 3)) - 0.5), atol=1e-3)


def test_answers_come_in_the_datas_class_order_and_raw_ones_in_the_files_own(opened, images):
    target, _ = opened(logits, labels=(2, 0, 1))
    assert target.labels == (2, 0, 1)
    raw = target.raw(images, UNIT)
    np.testing.assert_array_equal(target.logits(images)[:, [2, 0, 1]], raw)


def test_an_exported_file_has_no_gradient(opened, images):
    target, _ = opened(logits)
    with pytest.raises(NotDifferentiableError, match=r"^a LiteRT file has no gradient$"):
        target.gradient(images, np.zeros(10, np.int32), "margin")


@pytest.mark.parametrize("usual", [UNIT, BYTES, CENTRED])
@pytest.mark.parametrize(
    ("low", "width", "known"),
    [
        (0, 1, True),
        (0.019, 1, True),
        (-0.019, 1, True),
        (0.021, 1, False),
        (-0.021, 1, False),
        (0, 0.51, True),  # the brightest image of a calibration need not be white
        (0, 0.49, False),
        (0, 1.04, True),
        (0, 1.06, False),
    ],
)
def test_a_code_shows_a_usual_range(usual, low, width, known):
    whole = usual.high - usual.low
    ends = (usual.low + low * whole, usual.low + (low + width) * whole)
    assert coded_range(SimpleNamespace(ends=ends)) == (usual if known else None)
