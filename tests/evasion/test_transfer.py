"""Which answers a surrogate is made from, and what is made of it: with surrogates that are formulas."""

from types import SimpleNamespace

import numpy as np
import pytest

from fedrobust.evasion import Threat, Transfer, attack, attack_named
from fedrobust.evasion.attacks import transfer as module
from fedrobust.evasion.attacks.transfer import SURE, grey_levels, mixtures
from fedrobust.evasion.models.protocol import Slopes
from fedrobust.evasion.threat import ThreatError
from fedrobust.randomness import Purpose, generator

SHAPE = (3, 2, 1)
WEIGHTS = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)


class Linear:
    """Logits are linear in the images; what is asked is kept."""

    shape, classes = SHAPE, 3

    def __init__(self, weights=WEIGHTS):
        self.weights, self.asked = weights, []

    def logits(self, images):
        self.asked.append(images)
        return (images.reshape(len(images), 6) - 0.5) @ self.weights

    def gradient(self, images, labels, loss, targets=None):
        logits = (images.reshape(len(images), 6) - 0.5) @ self.weights
        rows = np.arange(len(images))
        others = logits.copy()
        others[rows, labels] = -np.inf
        slope = self.weights[:, others.argmax(axis=1)] - self.weights[:, labels]
        return Slopes(logits, others.max(axis=1) - logits[rows, labels], slope.T.reshape(images.shape))


def images_of(n, seed=0):
    return np.random.default_rng(seed).random((n, *SHAPE)).astype(np.float32)


@pytest.fixture
def taught(monkeypatch):
    """Students that are `Linear` with the weights of the call's number; what they were taught is kept."""
    lessons = []

    def distil(classifier, images, answers, temperature, seed):
        lessons.append((classifier, images, answers, temperature, seed))
        return SimpleNamespace(weights=len(lessons))

    surrogates = [Linear(WEIGHTS * sign) for sign in (1, -1, 1)]
    monkeypatch.setattr("fedrobust.training.distillation.distil", distil)
    monkeypatch.setattr(
        "fedrobust.models.classifier.build_classifier", lambda *given, **settings: (given, settings)
    )
    monkeypatch.setattr(
        "fedrobust.evasion.models.compiled.CompiledModel.of", lambda classifier: ("compiled", classifier)
    )
    monkeypatch.setattr(
        "fedrobust.evasion.models.bound.BoundModel.of", lambda compiled, weights: surrogates[weights - 1]
    )
    return SimpleNamespace(lessons=lessons, surrogates=surrogates)


def one_hot(logits):
    return np.eye(3, dtype=np.float32)[logits.argmax(axis=1)] * np.float32(SURE)


@pytest.mark.parametrize("answers", ["labels", "logits"])
def test_a_surrogate_is_taught_the_images_and_mixtures_of_them(taught, answers):
    target, images = Linear(), images_of(100)
    found, asked = Transfer(queries=60, answers=answers).queried(target, images, 4)
    assert asked == 60
    assert found is taught.surrogates[0]
    [(classifier, known, said, temperature, seed)] = taught.lessons
    assert classifier == (("strided-cnn", SHAPE, 3), {"image_size": 0, "seed": 4})
    assert (temperature, seed) == (1.0, 4)
    assert known.dtype == np.uint8
    np.testing.assert_array_equal(known[:30], grey_levels(images[:30]))
    logits = Linear().logits(known.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(known[30:], mixtures(known[:30], logits[:30].argmax(axis=1), 30, 4))
    np.testing.assert_allclose(said, logits if answers == "logits" else one_hot(logits), atol=1e-5)
    assert [len(part) for part in target.asked] == [30, 30]


def test_more_rounds_step_along_the_surrogates_gradient(taught):
    """Papernot et al. (2016), Jacobian-based augmentation: an eighth-bit step of 8/255 for some of what is known."""
    target, images = Linear(), images_of(100)
    found, asked = Transfer(queries=90, rounds=3).queried(target, images, 4)
    assert asked == 90
    assert found is taught.surrogates[2]
    sizes = [len(lesson[1]) for lesson in taught.lessons]
    assert sizes == [45, 60, 90]
    before, labels = taught.lessons[0][1], taught.lessons[0][2].argmax(axis=1)
    rows = generator(4, Purpose.EVALUATION, 0).permutation(45)[:15]
    shown = before[rows].astype(np.float32) / np.float32(255)
    slope = taught.surrogates[0].gradient(shown, labels[rows], "margin").gradients
    stepped = grey_levels(np.clip(shown + np.float32(8 / 255) * np.sign(slope), 0, 1))
    np.testing.assert_array_equal(taught.lessons[1][1][:45], before)
    np.testing.assert_array_equal(taught.lessons[1][1][45:], stepped)
    assert len(np.unique(taught.lessons[2][1][60:].reshape(30, -1), axis=0)) > 20
    assert [Transfer(queries=100, rounds=3).share(turn) for turn in (1, 2, 3)] == [33, 66, 100]


def test_few_queries_are_for_images_alone(taught):
    for queries, n, known in ((1, 100, 1), (40, 10, 40), (300, 10, 300)):
        taught.lessons.clear()
        _, asked = Transfer(queries=queries).queried(Linear(), images_of(n), 0)
        assert asked == known
        assert len(taught.lessons[0][1]) == known


def test_what_was_asked_is_counted_once(taught):
    images, labels = images_of(20), np.zeros(20, np.int32)
    bound = Transfer(queries=30).prepared(Linear(), images, labels, Threat(), 0.1, 4)
    assert bound.surrogate is taught.surrogates[0]
    assert bound.spent == (30, 0)
    given = Transfer(surrogate=Linear())
    assert given.prepared(Linear(), images, labels, Threat(), 0.1, 4) is given
    assert given.spent == (0, 0)


def test_the_surrogate_is_attacked_to_the_end_and_the_model_asked_once():
    surrogate, target = Linear(-WEIGHTS), Linear()
    images = images_of(6)
    labels = target.logits(images).argmax(axis=1).astype(np.int32)
    target.asked.clear()
    spec = Transfer(surrogate=surrogate, attack="bim(steps=3, loss='margin')")
    done = attack(target, images, labels, spec, Threat(), [0.05], seed=2)
    crafted = images.copy()
    for _ in range(3):
        slope = surrogate.gradient(crafted, labels, "margin").gradients
        crafted = Threat().project(crafted + np.float32(0.05 / 3) * np.sign(slope), images, 0.05)
    clean, asked = target.asked
    np.testing.assert_array_equal(clean, images)
    np.testing.assert_allclose(asked, crafted, atol=1e-6)
    assert done.queries.tolist() == [2] * 6
    assert not done.gradients.any()


def test_a_colour_surrogate_of_tied_images_is_tied(monkeypatch):
    class Colour(Linear):
        shape = (3, 2, 3)

        def logits(self, images):
            return super().logits(images.mean(axis=3, keepdims=True))

        def gradient(self, images, labels, loss, targets=None):
            seen = super().gradient(images.mean(axis=3, keepdims=True), labels, loss, targets)
            return seen._replace(gradients=np.repeat(seen.gradients, 3, axis=3) / 3)

    images = np.repeat(images_of(4), 3, axis=3)
    labels = Colour().logits(images).argmax(axis=1).astype(np.int32)
    spec = Transfer(surrogate=Colour(), attack="fgsm(loss='margin')")
    done = attack(Colour(), images, labels, spec, Threat(tied=True), [0.3])
    changed = done.images[0] - images
    assert np.abs(changed).max() == pytest.approx(0.3, abs=1e-6)
    np.testing.assert_array_equal(changed[..., 0], changed[..., 2])


def test_a_file_is_opened_and_has_to_know_the_models_classes(monkeypatch, tmp_path):
    given = []

    def open_model(*arguments):
        given.append(arguments)
        return SimpleNamespace(target=Linear())

    monkeypatch.setattr("fedrobust.evasion.models.model_file.open_model", open_model)
    monkeypatch.setattr(module, "open_model", open_model, raising=False)
    target = Linear()
    found = module.opened(tmp_path / "own.keras", target)
    assert isinstance(found, Linear)
    assert given == [(tmp_path / "own.keras", SHAPE, 3)]
    target.classes = 2
    with pytest.raises(ThreatError) as refused:
        module.opened(tmp_path / "own.keras", target)
    path = str(tmp_path / "own.keras")
    assert str(refused.value) == f"surrogate = {path!r}: it has 3 classes, the model has 2"
    target.classes = 3
    bound = Transfer(surrogate=path).prepared(target, images_of(2), np.zeros(2, np.int32), Threat(), 0.1, 0)
    assert isinstance(bound.surrogate, Linear)
    assert bound.spent == (0, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"surrogate": "/nowhere.keras"}, "surrogate = '/nowhere.keras': there is no such file"),
        ({"student": "perceptron"}, "student = 'perceptron': "),
        ({"student": "mobilenetv2"}, "student = 'mobilenetv2': it takes images of at least 32 pixels a side"),
    ],
)
def test_what_a_surrogate_cannot_be_is_said_before(settings, message):
    with pytest.raises(ValueError, match=r"^") as refused:
        Transfer(**settings).require(SimpleNamespace(image_shape=(28, 40, 1)))
    assert str(refused.value).startswith(message)


def test_what_a_surrogate_can_be_is_accepted(tmp_path):
    problem = SimpleNamespace(image_shape=(32, 40, 1))
    (tmp_path / "own.keras").write_bytes(b"")
    for settings in (
        {},
        {"student": "mobilenetv2"},
        {"surrogate": str(tmp_path / "own.keras")},
        {"surrogate": Linear()},
    ):
        Transfer(**settings).require(problem)
    with pytest.raises(Exception, match="choose one within epsilon, such as pgd"):
        attack_named("transfer(attack='deepfool')")


def test_mixtures_are_of_two_images_decided_otherwise():
    """Every image has one grey level: a mixture tells which two it is of, and with which weight."""
    levels = np.array([0, 10, 200, 250], np.uint8)
    images = levels[:, None, None, None] * np.ones((1, *SHAPE), np.uint8)
    found = mixtures(images, np.array([0, 0, 1, 1]), 4000, 3)[:, 0, 0, 0].astype(int)
    assert found.min() < 12
    assert found.max() > 238
    # Uniform weights between one of the dark and one of the bright: a mean of 115, hardly any below 10.
    assert abs(found.mean() - 115) < 4
    assert 0.35 < ((found > 60) & (found < 170)).mean() < 0.6
    same = mixtures(images, np.zeros(4, int), 4000, 3)[:, 0, 0, 0].astype(int)
    assert same.min() == 0
    assert same.max() == 250
    assert mixtures(images, np.array([0, 0, 1, 1]), -3, 3).shape == (0, *SHAPE)
    np.testing.assert_array_equal(found, mixtures(images, np.array([0, 0, 1, 1]), 4000, 3)[:, 0, 0, 0])
    assert not np.array_equal(found, mixtures(images, np.array([0, 0, 1, 1]), 4000, 4)[:, 0, 0, 0])


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_universal_perturbation_climbs_the_mean_margin_of_images_that_stand(norm):
    """Shafahi et al. (2018), Algorithm 2, written out."""
    target, images, threat, epsilon = Linear(), images_of(10), Threat(norm=norm), 0.2
    labels = target.logits(images).argmax(axis=1).astype(np.int32)
    found = attack_named("universal(epochs=3, batch_size=4)").prepared(
        target, images, labels, threat, epsilon, 5
    )
    draw, shift = generator(5, Purpose.EVALUATION), np.zeros((1, *SHAPE))
    for _ in range(3):
        order = draw.permutation(10)
        for rows in (order[:4], order[4:8], order[8:]):
            rows = np.sort(rows)
            seen = target.gradient(
                np.clip(images[rows] + shift, 0, 1).astype(np.float32), labels[rows], "margin"
            )
            slope = (seen.gradients * (seen.losses < 0)[:, None, None, None]).mean(axis=0, keepdims=True)
            step = np.sign(slope) if norm == "linf" else slope / max(np.linalg.norm(slope), 1e-30)
            shift = shift + 2.5 * epsilon / 3 * step
            if norm == "linf":
                shift = np.clip(shift, -epsilon, epsilon)
            else:
                shift = shift * min(1, epsilon / np.linalg.norm(shift))
    np.testing.assert_allclose(found.perturbation, shift, atol=1e-5)
    assert found.spent == (30, 30)
    done = attack(target, images, labels, "universal(epochs=3, batch_size=4)", threat, [epsilon], seed=5)
    np.testing.assert_allclose(target.asked[-1], np.clip(images + shift, 0, 1), atol=1e-5)
    assert done.shared == (30, 30)


def test_of_a_random_search_the_image_of_largest_margin_is_queried():
    target = Linear()
    images = images_of(40)
    labels = target.logits(images).argmax(axis=1).astype(np.int32)
    alone = attack(target, images, labels, "noise(draws=20)", Threat(), [0.2], seed=2)
    spec = Transfer(surrogate=Linear(), attack="noise(draws=20)")
    found = attack(target, images, labels, spec, Threat(), [0.2], seed=2)
    assert alone.success.sum() > 0
    np.testing.assert_array_equal(found.success, alone.success)


@pytest.mark.parametrize("inner", ["universal", "transfer"])
def test_an_attack_that_learns_from_all_images_does_not_transfer_one(inner):
    with pytest.raises(ValueError, match="it learns from all images together"):
        Transfer(attack=inner)


def test_an_attack_of_another_norm_is_refused():
    images, spec = images_of(2), Transfer(surrogate=Linear(), attack="one-pixel")
    with pytest.raises(ThreatError, match=r"norm = 'linf': attack = 'one-pixel' supports l0"):
        attack(Linear(), images, np.zeros(2, np.int32), spec, Threat(), [0.1])


def test_a_target_class_of_the_attack_on_the_surrogate_is_that_of_the_transfer():
    """From the model to itself it is the attack itself, and leaves images of the target class alone."""
    images = images_of(40)
    labels = Linear().logits(images).argmax(axis=1).astype(np.int32)
    inner = "pgd(steps=10, target=1, loss='margin')"
    alone = attack(Linear(), images, labels, inner, Threat(), [0.2], seed=2)
    spec = Transfer(surrogate=Linear(), attack=inner)
    found = attack(Linear(), images, labels, spec, Threat(), [0.2], seed=2)
    assert alone.success[0, labels != 1].mean() > 0.5
    np.testing.assert_array_equal(found.success, alone.success)
    assert not found.success[0, labels == 1].any()
    with pytest.raises(ThreatError, match="target = 3: the model has classes 0 to 2"):
        attack(
            Linear(), images, labels, Transfer(surrogate=Linear(), attack="pgd(target=3)"), Threat(), [0.2]
        )
