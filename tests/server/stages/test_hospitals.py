"""The global model at each hospital, on a linear model whose answers are known."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from small_study import Partition, with_parts

import fedrobust
from fedrobust.config import Experiment
from fedrobust.data.dataset import Split
from fedrobust.data.problem import Problem
from fedrobust.data.sites import Sites
from fedrobust.evasion import Threat
from fedrobust.models.layout import Weights
from fedrobust.study import Study
from server.client_images import class_counts, sizes
from server.errors import UnmeasurableError
from server.stages.evaluation import Evaluator
from server.stages.hospitals import AS_STORED, hospitals_of, hospitals_record

BRIGHT, DARK = (np.full((4, 4, 1), level, np.uint8) for level in (200, 20))


def weights(slope=1.0, bias=-0.4) -> Weights:
    """Class 1 where slope times the mean pixel plus bias is positive."""
    kernel = np.zeros((16, 2))
    kernel[:, 1] = slope / 16
    return Weights(np.concatenate([kernel.ravel(), [0.0, bias]]).astype(np.float32), np.zeros(0, np.float32))


def images(**changed):
    """Return bright images of class 1 and dark ones of class 0, thirty each."""
    split = Split(np.stack([BRIGHT] * 30 + [DARK] * 30), np.repeat([1, 0], 30).astype(np.int32))
    whole = fedrobust.load_dataset("phantom", samples=60)
    return replace(whole, train=split, validation=split, test=split, disease=(1,), **changed)


def study(dataset, clients=3, **settings) -> Study:
    shards = np.array_split(np.arange(60).reshape(2, 30).T.ravel(), clients)
    return with_parts(
        Study(Experiment.of(federation__clients=clients, **settings)),
        dataset=dataset,
        problem=Problem.of(dataset),
        partition=Partition(*shards),
    )


@pytest.fixture
def measured(linear_classifier):
    def measure(study):
        evaluator = Evaluator.of(
            Experiment.of().evaluation,
            Threat(),
            5,
            study.dataset,
            linear_classifier,
            ThreadPoolExecutor(1),
        )
        return hospitals_record(study, evaluator, weights())

    return measure


def test_hospitals_with_other_scanners_see_other_test_images(measured):
    """Gamma 2.7 makes grey level 200 to 132, and so 0.52 of the range; gamma 1 / 2.7 makes 20 to 99, 0.39."""
    found = measured(
        study(images(), data__site_shifts=["0: gamma(severity=5)", "2: low-contrast", "1: label-noise"])
    )
    by_name = {one.name: one for one in found.hospitals}
    assert {name: one.clients for name, one in by_name.items()} == {
        "gamma(severity=5)": (0,),
        AS_STORED: (1,),
        "low-contrast": (2,),
    }
    assert {name: one.metrics.balanced_accuracy for name, one in by_name.items()} == {
        "gamma(severity=5)": 1.0,
        AS_STORED: 1.0,
        "low-contrast": 1.0,
    }
    assert (found.worst, found.gap) == (None, 0.0)


def test_the_worst_hospital_is_named(measured):
    """Twice gamma 2.7: grey level 200 becomes 43, below the threshold of 0.4: class 1 is missed there."""
    twice = "gamma(severity=5) + gamma(severity=5)"
    found = measured(study(images(), data__site_shifts=[f"1: {twice}"]))
    assert (found.worst, found.gap) == (twice, 0.5)
    worst = next(one for one in found.hospitals if one.name == twice)
    assert (worst.shift, worst.clients) == (twice, (1,))
    assert worst.metrics.recall == (1.0, 0.0)
    assert worst.metrics.figures["disease missed"].value == 1.0
    # At 0.5 nobody is treated there; elsewhere all who are ill are.
    assert [one.net_benefit["0.5"] for one in found.hospitals] == [(0.5, 0.0), (0.0, 0.0)]


def test_sites_are_tested_on_their_own_images(measured):
    sites = Sites.of(np.array(["south"] * 20 + ["north"] * 40))
    dataset = images(sites=sites, test_sites=sites)
    by_site = study(dataset, clients=2, data__partition="site", data__site_shifts=["1: low-contrast"])
    found = measured(by_site)
    assert [(one.name, one.clients, one.shift) for one in found.hospitals] == [
        ("north", (0,), ""),
        ("south", (1,), "low-contrast"),
    ]
    assert [one.metrics.n for one in found.hospitals] == [40, 20]
    assert found.hospitals[1].metrics.one_class
    assert found.hospitals[1].net_benefit == {}
    assert found.gap is None, "the south has images of one class only"
    divided = study(dataset, clients=5, data__partition="iid")
    assert [(one.name, one.clients) for one in measured(divided).hospitals] == [("north", ()), ("south", ())]


def test_the_hospital_is_named_at_which_logits_are_not_finite(linear_classifier):
    given = study(images(), data__site_shifts=["1: gamma(severity=5)"])
    broken = weights()
    evaluator = Evaluator.of(
        Experiment.of().evaluation, Threat(), 5, given.dataset, linear_classifier, ThreadPoolExecutor(1)
    )
    broken.trainable[:] = np.nan
    with pytest.raises(UnmeasurableError, match="cannot be measured at hospital 'images as stored'"):
        hospitals_record(given, evaluator, broken)


def test_there_is_nothing_to_tell_where_all_are_tested_on_the_same_images(measured):
    assert measured(study(images())) is None
    assert hospitals_of(study(images(), data__site_shifts=["0: label-noise"])) == ()


def test_images_are_counted_after_the_shifts():
    lacking = study(images(), data__site_shifts=["0: without-classes(classes=[1])", "2: blur"])
    np.testing.assert_array_equal(class_counts(lacking), [[10, 0], [10, 10], [10, 10]])
    np.testing.assert_array_equal(sizes(lacking), [10, 20, 20])
    np.testing.assert_array_equal(class_counts(study(images())), [[10, 10]] * 3)
    np.testing.assert_array_equal(sizes(study(images())), [20, 20, 20])


def test_the_robust_accuracy_is_that_of_the_attack_on_the_images_of_the_scanner(linear_classifier):
    """The mean pixel decides at 0.4. Grey level 200 is 0.78, and 0.52 at gamma 2.7; 20 is 0.08 and 0.001."""
    given = study(images(), data__site_shifts=["1: gamma(severity=5)"])
    for epsilon, accuracies in ((0.1, [1.0, 1.0]), (0.2, [1.0, 0.5]), (0.35, [0.5, 0.5])):
        settings = Experiment.of(
            evaluation__attacks=["fgsm"], evaluation__epsilons=[0.01, epsilon]
        ).evaluation
        evaluator = Evaluator.of(
            settings, Threat(), 5, given.dataset, linear_classifier, ThreadPoolExecutor(1)
        )
        found = hospitals_record(given, evaluator, weights())
        assert [one.robust["fgsm"][str(epsilon)].accuracy for one in found.hospitals] == accuracies
        assert [list(one.robust["fgsm"]) for one in found.hospitals] == [[str(epsilon)]] * 2


def test_without_attacks_there_is_no_robust_accuracy(linear_classifier):
    given = study(images(), data__site_shifts=["1: gamma(severity=5)"])
    settings = Experiment.of(evaluation__attacks=[]).evaluation
    evaluator = Evaluator.of(settings, Threat(), 5, given.dataset, linear_classifier, ThreadPoolExecutor(1))
    assert [one.robust for one in hospitals_record(given, evaluator, weights()).hospitals] == [{}, {}]


def test_a_hospital_without_test_images_is_not_measured(measured):
    own = Sites(("north", "south", "west"), np.repeat([0, 1], [40, 20]))
    found = measured(study(images(sites=own, test_sites=own), clients=3, data__partition="iid"))
    assert [one.name for one in found.hospitals] == ["north", "south"]
