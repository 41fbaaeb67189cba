"""What the student of a study is built as."""

import pytest

from fedrobust.config import Experiment
from fedrobust.models import remembered
from fedrobust.study import Study
from fedrobust.study.student import student_of

SMALL = {"model__name": "edge-cnn(width=4)", "model__image_size": 28, "data__samples": 120, "seed": 5}
DEFENSIVE = {"distillation__method": "defensive", "distillation__student": "edge-cnn(width=4)"}


def study(**settings) -> Study:
    return Study(Experiment.of(**SMALL, **settings))


@pytest.mark.parametrize("normalization", ["batch", "group"])
def test_a_method_that_needs_the_teachers_network_gets_it(normalization):
    given = study(**DEFENSIVE, model__normalization=normalization, model__scaling="-1..1")
    student, teacher = student_of(given).network, given.classifier.network
    kinds = [type(layer) for layer in teacher.layers]
    assert [type(layer) for layer in student.layers] == kinds
    assert student_of(given).layout.digest == given.classifier.layout.digest
    assert bool(student_of(given).layout.statistics) == (normalization == "batch")


def test_a_student_of_another_method_has_its_own_batchnorm_and_random_weights(monkeypatch):
    asked = []
    monkeypatch.setattr(
        remembered, "remembered_classifier", lambda *given, **named: asked.append((given, named))
    )
    settings = {"model__normalization": "group", "model__batchnorm_momentum": 0.75}
    given = study(**settings, distillation__image_size=24)
    student_of(given)
    named = {"multilabel": False, "image_size": 24, "momentum": 0.75, "defence": None}
    assert asked == [(("edge-cnn", (28, 28, 1), 2), {**named, "seed": given.weights_seed(model=1)})]
    assert given.weights_seed(model=1) != given.weights_seed()
