"""When a model is sound, and how often an attacker has its way, on a linear model whose answers are known."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

import fedrobust
import server.stages.evaluation
from fedrobust.config import Experiment
from fedrobust.data.dataset import Split
from fedrobust.evaluation.metrics import NotFiniteError
from fedrobust.evasion import Threat
from fedrobust.models.layout import Weights
from fedrobust.poisoning import SuccessCriterion
from server.errors import UnmeasurableError
from server.stages.evaluation import NO_CONTROL, Evaluator, compiled_model_of
from server.stages.probed_images import PROBED

BRIGHT = np.full((4, 4, 1), 200, np.uint8)
DARK = np.full((4, 4, 1), 20, np.uint8)


def split(bright, dark) -> Split:
    images = np.stack([BRIGHT] * bright + [DARK] * dark)
    return Split(images, np.array([1] * bright + [0] * dark, np.int32))


@pytest.fixture
def dataset():
    whole = fedrobust.load_dataset("phantom", samples=60)
    return replace(whole, train=split(4, 4), validation=split(3, 5), test=split(6, 4))


THREAT = Threat(bits=8)


def evaluator(classifier, dataset, **settings) -> Evaluator:
    chosen = Experiment.of(evaluation__epsilons=[0.005], **settings).evaluation
    return Evaluator.of(chosen, THREAT, 5, dataset, classifier, ThreadPoolExecutor(1))


def weights(slope=1.0, bias=-0.4) -> Weights:
    """Class 1 where slope times the mean pixel plus bias is positive."""
    kernel = np.zeros((16, 2))
    kernel[:, 1] = slope / 16
    vector = np.concatenate([kernel.ravel(), [0.0, bias]])
    return Weights(vector.astype(np.float32), np.zeros(0, np.float32))


def test_a_model_that_answers_is_sound(linear_classifier, dataset):
    judge = evaluator(linear_classifier, dataset)
    assert judge.fault(weights()) == ""
    assert judge.fault(weights(slope=1e30)) == "", "large numbers are numbers"
    assert judge.test(weights(slope=1e30, bias=-4e29)).clean.accuracy == 1.0


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_model_whose_logits_are_no_numbers_is_not(linear_classifier, dataset, broken):
    judge = evaluator(linear_classifier, dataset)
    assert judge.fault(weights(bias=broken)) == "the new model answers with numbers that are not finite"
    with pytest.raises(NotFiniteError, match="10 of 10 rows of logits hold NaN or infinity"):
        judge.test(weights(bias=broken))


def test_gradients_that_overflow_are_a_fault_where_an_attack_follows_them(linear_classifier, dataset):
    """Weights of 3e38 with opposite signs: on images without contrast they cancel out, their difference overflows."""
    kernel = np.zeros((16, 2), np.float32)
    kernel[0], kernel[1] = (3e38, -3e38), (-3e38, 3e38)
    opposed = Weights(np.concatenate([kernel.ravel(), [0, 0]]).astype(np.float32), np.zeros(0, np.float32))
    flat = np.zeros((4, 4, 4, 1), np.uint8)
    dark = replace(dataset, validation=Split(flat, np.array([0, 1, 0, 1], np.int32)))
    assert (
        evaluator(linear_classifier, dark).fault(opposed) == "the new model has gradients that are not finite"
    )
    assert evaluator(linear_classifier, dark, evaluation__attacks=[]).fault(opposed) == ""


def test_success_is_told_beside_the_rate_without_the_trigger(linear_classifier, dataset):
    judge = evaluator(linear_classifier, dataset)
    plain, wanted = np.stack([DARK, DARK, DARK, BRIGHT]), np.ones(4, np.int64)
    triggered = plain.copy()
    triggered[0] = BRIGHT
    told = judge.success(weights(), SuccessCriterion(triggered, plain, wanted))
    assert (told.n, told.successes, told.rate, told.without_trigger) == (4, 2, 0.5, 0.25)
    assert told.control == "the same images without the trigger"


@pytest.mark.parametrize("plain", [None, np.stack([DARK, BRIGHT])])
def test_an_attack_that_adds_nothing_to_an_image_has_no_such_rate(linear_classifier, dataset, plain):
    judge = evaluator(linear_classifier, dataset)
    told = judge.success(weights(), SuccessCriterion(np.stack([DARK, BRIGHT]), plain, np.ones(2, np.int64)))
    assert (told.rate, told.without_trigger, told.control) == (0.5, None, NO_CONTROL)


@pytest.fixture
def handed(monkeypatch):
    """What the evaluator hands to the measures of `fedrobust.evaluation`, by their names; they answer with the name."""
    given = {}
    for name in ("robustness", "examples", "clean_logits", "measure"):

        def note(*places, name=name, **settings):
            given[name] = (places, settings)
            return name

        monkeypatch.setattr(f"server.stages.evaluation.{name}", note)
    return given


def test_the_test_split_is_attacked_as_the_study_says(linear_classifier, dataset, handed):
    judge = evaluator(linear_classifier, dataset, evaluation__attacks=["fgsm"], evaluation__batch_size=7)
    for attacked, attacks in ((True, judge.settings.attacks), (False, ())):
        assert judge.test("weights", attacked) == "robustness"
        places, settings = handed["robustness"]
        assert places == (
            judge.compiled,
            "weights",
            dataset.test,
            judge.settings.epsilons,
            7,
            judge.map,
        )
        assert settings == {
            "attacks": attacks,
            "with_file": judge.with_file,
            "threat": THREAT,
            "seed": 5,
            "clean": "clean_logits",
            "further": judge.further,
            "findings": 0,
        }
        assert handed["clean_logits"][0][2] is dataset.test.images


def test_validation_and_examples_have_their_own_split_and_number(linear_classifier, dataset, handed):
    judge = evaluator(linear_classifier, dataset, evaluation__batch_size=7, evaluation__examples=3)
    images, labels = dataset.validation.images, dataset.validation.labels
    assert judge.validate("weights") == "measure"
    assert handed["clean_logits"] == ((judge.compiled, "weights", images, 7, judge.map), {})
    assert handed["measure"] == ((labels, "clean_logits"), {"further": judge.further})
    assert judge.examples("weights") == "examples"
    epsilons = judge.settings.epsilons
    assert handed["examples"] == (
        (judge.compiled, "weights", dataset.test, epsilons, 3, THREAT, 0),
        {},
    )


def test_training_is_watched_by_the_accuracy_under_pgd(linear_classifier, dataset, monkeypatch):
    """Five images lie 0.4 - 20/255 from the boundary, three 200/255 - 0.4."""
    given = []

    def attack(*places, **settings):
        given.append((places, settings))
        return real(*places, **settings)

    real = server.stages.evaluation.attack
    monkeypatch.setattr(server.stages.evaluation, "attack", attack)
    judge = evaluator(linear_classifier, dataset)
    for epsilon, share in ((0.1, (1.0, 1.0)), (0.35, (3 / 8, 1 / 2)), (0.5, (0.0, 0.0))):
        assert judge.probe(weights(), epsilon) == share
        places, settings = given[-1]
        assert places[1].shape == (8, 4, 4, 1)
        assert sorted(places[2].tolist()) == [0] * 5 + [1] * 3
        assert places[3:] == (
            "pgd(steps=5, step_size=0.5)",
            Threat(space=judge.settings.space),
            [epsilon],
            5,
        )
        assert settings == {"keep_images": False, "map": judge.map, "chunk": PROBED // 2, "findings": 0}


@pytest.mark.parametrize(
    ("settings", "probed"),
    [
        ({"select": "best", "select_by": "robust-balanced-accuracy"}, 124 + 20),
        ({"select": "best", "select_by": "robust-accuracy"}, 128),
        ({"select_by": "robust-balanced-accuracy"}, 128),
    ],
)
def test_more_images_of_a_rare_class_are_probed_where_the_balanced_accuracy_selects(
    linear_classifier, dataset, monkeypatch, settings, probed
):
    """Of 620 bright and 20 dark images the sample in proportion has 124 and 4."""
    given, real = [], server.stages.evaluation.attack
    monkeypatch.setattr(
        server.stages.evaluation,
        "attack",
        lambda *places, **more: given.append(places) or real(*places, **more),
    )
    chosen = {f"evaluation__{name}": value for name, value in settings.items()}
    judge = evaluator(linear_classifier, replace(dataset, validation=split(620, 20)), **chosen)
    assert judge.probe(weights(), 0.35) == (124 / 128, 0.5), "the bright images withstand it"
    assert len(given[0][1]) == probed


def test_sites_that_are_held_out_are_measured_each_for_itself(linear_classifier, dataset):
    unseen = {"Genf": split(3, 1), "Bern": split(0, 2)}
    judge = evaluator(linear_classifier, replace(dataset, unseen=unseen))
    found = judge.unseen(weights(slope=0, bias=1))  # always class 1
    assert {site: (one.n, one.correct) for site, one in found.items()} == {"Genf": (4, 3), "Bern": (2, 0)}
    assert evaluator(linear_classifier, dataset).unseen(weights()) == {}
    with pytest.raises(UnmeasurableError, match="cannot be measured on Genf"):
        judge.unseen(weights(bias=np.nan))


@pytest.mark.parametrize("space", ["native", "prepared"])
def test_another_model_or_space_changes_nothing_else(linear_classifier, dataset, space):
    judge = evaluator(linear_classifier, dataset, evaluation__space=space, evaluation__every=3)
    assert judge.compiled is compiled_model_of(linear_classifier, space)
    other = replace(linear_classifier, name="other")
    taught, native = judge.of_model(other), judge.of_model(other, space="native")
    assert (taught.compiled, native.compiled) == (
        compiled_model_of(other, space),
        compiled_model_of(other, "native"),
    )
    for each in (taught, native):
        assert replace(each, classifier=linear_classifier, compiled=judge.compiled) == judge
        assert each.classifier is other


def test_attacks_see_the_model_in_the_batches_of_the_study(linear_classifier, dataset, monkeypatch):
    judge = evaluator(linear_classifier, dataset, evaluation__batch_size=7)
    asked = []
    monkeypatch.setattr(
        server.stages.evaluation.BoundModel, "of", lambda *given: asked.append(given) or "target"
    )
    assert judge.target("weights") == "target"
    assert asked == [(judge.compiled, "weights", 7)]


def test_batches_are_mapped_over_the_pool_in_order(linear_classifier, dataset):
    assert list(evaluator(linear_classifier, dataset).map(abs, [-1, 2, -3])) == [1, 2, 3]


def test_logits_of_a_split_are_computed_once_for_the_last_weights(linear_classifier, dataset, monkeypatch):
    computed = []

    def clean_logits(compiled, weights, images, *more):
        computed.append((weights, len(images)))
        return np.full((len(images), 2), float(weights))

    monkeypatch.setattr(server.stages.evaluation, "clean_logits", clean_logits)
    judge = evaluator(linear_classifier, dataset)
    test, validation = len(dataset.test), len(dataset.validation)
    for weights in ("1", "2"):
        for _ in range(3):
            assert (
                judge.answers(weights).test[0, 0] == judge.answers(weights).validation[0, 0] == float(weights)
            )
    assert computed == [("1", test), ("1", validation), ("2", test), ("2", validation)]
    # Another classifier's weights are other weights.
    assert judge.of_model(linear_classifier).answers("2") is not judge.answers("2")


def test_success_looks_up_what_the_model_answers_without_the_trigger(linear_classifier, dataset, monkeypatch):
    asked = []
    logits = np.eye(2)[np.arange(len(dataset.test)) % 2]

    def clean_logits(compiled, weights, images, *more):
        asked.append(len(images))
        return logits[: len(images)] if len(images) == len(dataset.test) else np.eye(2)[[1] * len(images)]

    monkeypatch.setattr(server.stages.evaluation, "clean_logits", clean_logits)
    judge, rows = evaluator(linear_classifier, dataset), np.array([1, 2, 3])
    stamped, plain = dataset.test.images[rows] ^ 1, dataset.test.images[rows]
    told = judge.success("weights", SuccessCriterion(stamped, plain, np.ones(3, np.int64), rows))
    assert (told.successes, told.without_trigger, asked) == (3, 2 / 3, [3, len(dataset.test)])
    unstamped = judge.success("weights", SuccessCriterion(plain, None, np.ones(3, np.int64), rows))
    assert (unstamped.successes, unstamped.without_trigger, asked) == (2, None, [3, len(dataset.test)])
