"""Models that nobody here has trained: how their images are prepared, and how their answers are read."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import fedrobust
from fedrobust.audit.exported import ExportedTarget
from fedrobust.audit.misreading import MisreadModelError, by_chance, check_reading
from fedrobust.audit.opened import opened_with_digest
from fedrobust.data.load import load
from fedrobust.edge.about import About
from fedrobust.errors import ConfigError, FedrobustError
from fedrobust.evasion.models.predictor import Predictor, PredictorError
from fedrobust.models.input_format import UNIT, InputFormat
from fedrobust.models.interface import Interface

SHAPE = (16, 16, 1)
GREY = 0.253
"""The mean of the images."""
SETTINGS = {"effort": "quick", "images": 40, "epsilon": "4/255"}


def images_of(n, seed) -> tuple[np.ndarray, np.ndarray]:
    """Return dark images with a bright upper or lower half, and which of them it is."""
    draw = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    images = draw.normal(60, 25, (n, *SHAPE[:2]))
    rows = np.arange(16) < 8
    images[labels == 0] += 10 * rows[:, None]
    images[labels == 1] += 10 * ~rows[:, None]
    return np.clip(images, 0, 255).astype(np.uint8), labels.astype(np.uint8)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    arrays = {}
    for seed, (split, n) in enumerate((("train", 200), ("val", 40), ("test", 200))):
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = images_of(n, seed)
    path = tmp_path_factory.mktemp("data") / "halves.npz"
    np.savez(path, **arrays)
    return str(path)


@pytest.fixture(scope="module")
def kernel() -> np.ndarray:
    """Logits = (image - GREY) . kernel: the class is the brighter half, nearly."""
    draw = np.random.default_rng(9)
    half = np.where(np.arange(16) < 8, 1.5, -0.5)[:, None] + draw.normal(0, 0.8, (16, 16))
    return np.stack([half, -half], -1).reshape(256, 2).astype(np.float32) / 16


@pytest.fixture(scope="module")
def core(kernel) -> keras.Model:
    dense = keras.layers.Dense(2)
    dense.build((None, 256))
    dense.set_weights([kernel, -GREY * kernel.sum(0)])
    return keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), dense])


def behind(core, scale, offset=0.0, **settings) -> keras.Model:
    """Return the core for images that `scale` and `offset` bring back to [0, 1], which nothing shows."""
    layer = keras.layers.DepthwiseConv2D(1)
    layer.build((None, 16, 16, 1))
    layer.set_weights([np.full((1, 1, 1, 1), scale, np.float32), np.full(1, offset, np.float32)])
    inputs = keras.Input(SHAPE, **settings)
    return keras.Model(inputs, core(layer(inputs)))


def audited(model, data, folder, **told):
    return fedrobust.audit_model(model, data, out=folder, **SETTINGS, **told)


@pytest.fixture(scope="module")
def plain(core, data, tmp_path_factory):
    return audited(core, data, tmp_path_factory.mktemp("plain"), input="0..1", labels="0,1")


def figures(card):
    return (
        card["verdict"]["word"],
        (card["clean"]["correct"], card["clean"]["n"]),
        (card["standing"]["correct"], card["standing"]["n"]),
    )


WRAPPINGS = {
    "0..255, recognised": (
        lambda core: keras.Sequential([keras.Input(SHAPE), keras.layers.Rescaling(1 / 255), core]),
        {},
    ),
    "-1..1, told": (lambda core: behind(core, 0.5, 0.5), {"input": "-1..1"}),
    "swapped, told": (
        lambda core: keras.Model(core.inputs[0], core.outputs[0][:, ::-1]),
        {"labels": "1,0"},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_the_same_network_in_another_wrapping_has_the_same_verdict_and_figures(
    core, plain, data, tmp_path, wrapping
):
    make, told = WRAPPINGS[wrapping]
    path = tmp_path / "model.keras"
    make(core).save(path)
    assert 0 < plain["standing"]["correct"] < plain["clean"]["correct"]
    assert figures(audited(path, data, tmp_path / "card", **told)) == figures(plain)


def by_hand(kernel):
    """Return the core as two functions without Keras: its answers, and vector-Jacobian products."""

    def predict(images):
        return (images.reshape(len(images), 256) - GREY) @ kernel

    def gradient(images, vectors):
        return (vectors @ kernel.T).reshape(images.shape)

    return predict, gradient


@pytest.mark.slow
def test_a_function_has_the_verdict_and_figures_of_its_network(plain, kernel, data, tmp_path):
    predict, gradient = by_hand(kernel)
    card = audited(predict, data, tmp_path, gradient=gradient, name="by hand")
    assert figures(card) == figures(plain)
    assert card["model"]["name"] == "by hand"
    assert list((tmp_path / "attacks").iterdir()), "what a function with a name was asked is kept"


@pytest.mark.parametrize(
    ("make", "asked"),
    [
        (lambda core: behind(core, 1 / 255), '--input "0..255" gives'),
        (lambda core: behind(core, 0.5, 0.5), '--input "-1..1" gives'),
        (lambda core: keras.Model(core.inputs[0], core.outputs[0][:, ::-1]), '%. --labels "1,0" gives'),
    ],
)
def test_a_model_that_wants_other_images_or_classes_gets_a_question_in_place_of_a_verdict(
    core, data, tmp_path, make, asked
):
    model = make(core)
    with pytest.raises(MisreadModelError) as refused:
        fedrobust.attack_model(model, data, ["fgsm"], ["4/255"], images=40, out=tmp_path)
    assert asked in str(refused.value)
    assert '--input "0..1" --labels "0,1" to go on as it is' in str(refused.value)


def test_who_says_that_a_model_is_given_the_right_images_is_believed(core, data, tmp_path):
    told = {"input": "0..1", "labels": "0,1"}
    model = behind(core, 1 / 255)
    table = fedrobust.attack_model(model, data, ["fgsm"], ["4/255"], images=40, out=tmp_path, **told)
    assert table["clean"]["accuracy"] == 0.5
    assert table["notes"] == ["class order 0, 1: as given"]


def test_a_control_is_asked_about_by_its_name_and_told_by_it(core, data, tmp_path):
    path = tmp_path / "control.keras"
    behind(core, 1 / 255).save(path)
    with pytest.raises(MisreadModelError, match=r'control, given images as 0..1.*--input "control=0..255"'):
        audited(core, data, tmp_path / "card", control=path)


def test_a_constant_model_gets_no_question_but_a_note(core, data, tmp_path):
    constant = keras.Model(core.inputs[0], 0 * core.outputs[0] + np.array([1.0, 0.0], np.float32))
    table = fedrobust.attack_model(constant, data, ["fgsm"], ["4/255"], images=40, out=tmp_path)
    assert "100 of 200 (50.0 %) right is not above a constant classifier's 50.0 %" in table["notes"][-1]
    assert "none fits" in table["notes"][-1]


def answers_of(labels, order, right, seed):
    """Return logits of a model that says the right label, in its own class order, of a share of images."""
    draw = np.random.default_rng(seed)
    classes = len(order)
    said = np.where(draw.random(len(labels)) < right, labels, draw.integers(0, classes, len(labels)))
    return np.eye(classes)[np.argsort(order)[said]]


@pytest.mark.parametrize("order", [(1, 0), (2, 0, 1), (3, 2, 1, 0), (6, 0, 5, 1, 4, 2, 3)])
def test_any_class_order_is_found(order):
    labels = np.random.default_rng(1).integers(0, len(order), 256)
    logits = answers_of(labels, order, 0.7, 2)
    with pytest.raises(MisreadModelError, match=f'%. --labels "{",".join(map(str, order))}" gives'):
        read(logits, labels)


def read(logits, labels):
    images = np.random.default_rng(0).random((len(labels), 4, 4, 1)).astype(np.float32)
    return check_reading(lambda format: logits, images, labels, 1, UNIT, (), (False, False))


def test_a_model_that_guesses_is_hardly_ever_asked_about():
    for seed in range(150):
        labels = np.random.default_rng(seed).integers(0, 7, 256)
        note = read(answers_of(labels, tuple(range(7)), 0.0, seed + 1000), labels)
        assert "none fits" in note or "classified as well" in note


def test_by_chance_is_mcnemars_exact_test():
    more, less = np.array([1, 1, 1, 1, 0, 1], bool), np.array([0, 0, 0, 0, 1, 1], bool)
    assert by_chance(more, less) == pytest.approx((1 + 5) / 2**5)


def test_a_function_of_probabilities_in_another_range_and_order_is_the_same_target(kernel, draw):
    predict, gradient = by_hand(kernel)
    softmax = keras.ops.softmax

    def other(images):
        return np.asarray(softmax(predict(images / 255)))[:, ::-1]

    def back(images, vectors):
        x = tf.constant(images)
        with tf.GradientTape() as tape:
            tape.watch(x)
            probabilities = tf.nn.softmax((tf.reshape(x / 255, (-1, 256)) - GREY) @ kernel)[:, ::-1]
        return tape.gradient(probabilities, x, output_gradients=tf.constant(vectors))

    interface = Interface.parse("0..255", "1,0")
    images, labels = draw.random((5, *SHAPE)).astype(np.float32), np.arange(5) % 2
    expected, found = (
        target.gradient(images, labels.astype(np.int32), "margin")
        for target in (
            Predictor.of(predict, SHAPE, 2, gradient),
            Predictor.of(other, SHAPE, 2, back, interface),
        )
    )
    np.testing.assert_allclose(np.diff(found.logits), np.diff(expected.logits), atol=1e-4)
    np.testing.assert_allclose(found.gradients, expected.gradients, atol=1e-4)
    np.testing.assert_allclose(found.losses, expected.losses, atol=1e-4)


@pytest.mark.parametrize(
    ("predict", "gradient", "message"),
    [
        (lambda x: np.zeros((len(x) - 1, 2)), None, r"shape \(31, 2\) for 32 images; wanted: \(32, 2\)"),
        (lambda x: np.zeros((len(x), 3)), None, r"shape \(32, 3\) for 32 images"),
        (lambda x: np.full((len(x), 2), np.nan), None, "64 of 64 numbers that are NaN"),
        (lambda x: "yes", None, "predict returned str"),
        (lambda x: 1 / 0, None, "predict raised ZeroDivisionError for images of"),
        (lambda x: np.zeros((len(x), 2)), lambda x, v: v, "gradient returned an array of shape"),
        (lambda x: np.zeros((len(x), 2)), lambda x: x, "gradient raised TypeError"),
    ],
)
def test_functions_that_do_not_answer_as_a_model_are_refused(predict, gradient, message):
    with pytest.raises(PredictorError, match=message):
        Predictor.of(predict, SHAPE, 2, gradient)


@pytest.mark.parametrize(
    ("model", "told", "message"),
    [
        (3, {}, "a int; hand in a function predict"),
        (lambda x: np.zeros((len(x), 2)), {"space": "prepared"}, "a function takes the data's images"),
        (lambda x: np.zeros((len(x), 2)), {"input": "0-255"}, "'0-255' is not understood; expected: a range"),
        (lambda x: np.zeros((len(x), 2)), {"labels": "0,2"}, "name each of the data's 2 labels once"),
        (lambda x: np.zeros((len(x), 2)), {"input": {"twin": "0..1"}}, "'twin' is no companion"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(data, tmp_path, model, told, message):
    with pytest.raises(FedrobustError, match=message):
        fedrobust.audit_model(model, data, out=tmp_path, **told)
    assert not list(tmp_path.iterdir())


def exported(model, path, samples=None):
    """Write a LiteRT file: of float32, or of uint8 where there are samples to calibrate with."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if samples is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in samples)
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    path.write_bytes(converter.convert())
    return path


def test_an_exported_file_is_given_the_range_that_its_code_shows_or_that_was_told(core, draw, tmp_path):
    images = draw.random((60, *SHAPE)).astype(np.float32)
    images[0, 0, 0], images[0, 0, 1] = 0, 1
    expected = np.asarray(core(images))
    model = behind(core, 1 / 255)
    coded = ExportedTarget(exported(model, tmp_path / "uint8.tflite", 255 * images))
    assert str(coded.format) == "0..255"
    spread = np.ptp(expected)
    np.testing.assert_allclose(coded.logits(images), expected, atol=spread / 50)
    floats = exported(model, tmp_path / "float.tflite")
    told = ExportedTarget(floats, Interface.parse("0..255", "1,0"))
    np.testing.assert_allclose(told.logits(images)[:, ::-1], expected, atol=1e-4)
    softmax = keras.Model(core.inputs[0], keras.layers.Softmax()(core.outputs[0]))
    unwrapped = ExportedTarget(exported(softmax, tmp_path / "softmax.tflite"))
    np.testing.assert_allclose(np.diff(unwrapped.logits(images)), np.diff(expected), atol=1e-3)


def test_a_file_that_says_its_range_needs_no_other_and_is_not_given_another(core, data, tmp_path):
    file = exported(core, tmp_path / "float.tflite")
    bare = opened_with_digest(file, load(data), "native")
    assert "input format 0..1: assumed, neither given nor recognised" in bare[2]
    file.write_bytes(About(("a", "b"), SHAPE).behind(file.read_bytes()))
    opened, _, notes = opened_with_digest(file, load(data), "native")
    assert [note for note in notes if "input format" in note] == ["input format 0..1: as its about.json says"]
    assert str(opened.format) == "0..1"
    # Beside a model that takes 0..255, whose range a file that shows none has, too.
    assert str(ExportedTarget(file, Interface(assumed=InputFormat(0.0, 255.0))).format) == "0..1"


def test_an_exported_file_that_wants_another_range_is_asked_about(core, data, tmp_path):
    file = exported(behind(core, 0.5, 0.5), tmp_path / "float.tflite")
    with pytest.raises(MisreadModelError, match=r'edge, given images as 0..1.*--input "edge=-1..1" gives'):
        audited(core, data, tmp_path / "card", edge=file)


def test_an_attack_has_no_companion_but_a_surrogate(core, data):
    with pytest.raises(
        ConfigError, match=r"control: there is no such companion model here.* of its surrogate"
    ):
        fedrobust.attack_model(core, data, input=["0..1", "control=0..255"])


def test_a_surrogate_in_a_file_is_read_as_the_model_and_another_file_is_another_attack(core, data, tmp_path):
    path, model = tmp_path / "surrogate.keras", behind(core, 0.5, 0.5)
    model.save(path)
    attacks = ["fgsm", f"transfer(surrogate={str(path)!r}, attack='fgsm')"]
    asked = {"epsilons": ["16/255"], "images": 40, "out": tmp_path / "table", "input": "-1..1"}
    table = fedrobust.attack_model(model, data, attacks, **asked)
    own, transferred = (each["broken"] for each in table["attacked"])
    assert own == transferred > 0, "the surrogate is the model"
    behind(keras.Model(core.inputs[0], -core.outputs[0]), 0.5, 0.5).save(path)
    again = fedrobust.attack_model(
        model, data, attacks, **{**asked, "labels": ["0,1", "surrogate=0,1"]}, force=True
    )
    assert again["attacked"][1]["broken"] < transferred
    behind(core, 1 / 255).save(path)
    with pytest.raises(
        MisreadModelError, match=r'surrogate, given images as -1..1.*--input "surrogate=0..255"'
    ):
        fedrobust.attack_model(model, data, attacks, **asked, force=True)


def test_stored_results_are_those_of_the_same_reading(core, data, tmp_path):
    asked = {"attacks": ["pgd(steps=3)"], "epsilons": ["16/255"], "images": 40, "labels": "0,1"}
    first = fedrobust.attack_model(core, data, **asked, input="-1..1", out=tmp_path / "one")
    again = fedrobust.attack_model(core, data, **asked, input="0..1", out=tmp_path / "one", force=True)
    fresh = fedrobust.attack_model(core, data, **asked, input="0..1", out=tmp_path / "two")
    figures = [each["attacked"][0]["metrics"]["accuracy"] for each in (again, fresh)]
    assert figures[0] == figures[1]
    assert first["notes"] != again["notes"]
