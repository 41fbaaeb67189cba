"""The ensemble of clients is distilled into their average: what is kept, what is learnt, and which images are shown."""

import numpy as np
import pytest

import fedrobust
from fedrobust.aggregation import AggregationContext, FedDF, Updates
from fedrobust.aggregation.answers import Fusion
from fedrobust.aggregation.contract import InfeasibleError
from fedrobust.checks import check_data
from fedrobust.config import ConfigError, Experiment
from fedrobust.models.classifier import build_classifier
from fedrobust.models.layout import Weights
from fedrobust.study import Study
from fedrobust.training.fusion import fuse

SHAPE = (16, 16, 1)


class Seen:
    """Models that remember what they were asked, and stay where they start."""

    def fused(self, models, start, fusion, round):
        self.models, self.start, self.fusion, self.round = list(models), start, fusion, round
        return start[0]


def test_the_rule_hands_on_each_model_with_its_statistics_and_the_mean_by_images(draw):
    updates = draw.standard_normal((4, 6)).astype(np.float32)
    statistics, sizes, asked = draw.random((4, 3)).astype(np.float32), np.array([1, 2, 3, 4]), Seen()
    context = AggregationContext(np.arange(4), sizes, round=7, statistics=statistics, model=asked)
    found = FedDF(steps=9, images=5)(Updates.of(updates), context)
    for (update, own), expected, its in zip(asked.models, updates, statistics, strict=True):
        np.testing.assert_array_equal(update, expected)
        np.testing.assert_array_equal(own, its)
    np.testing.assert_allclose(asked.start[0], sizes @ updates / 10, rtol=1e-6)
    np.testing.assert_allclose(asked.start[1], sizes @ statistics / 10, rtol=1e-6)
    assert (asked.fusion.steps, asked.fusion.images, asked.round) == (9, 5, 7)
    np.testing.assert_allclose(found.update, asked.start[0])
    np.testing.assert_allclose(found.influence, sizes / 10)


def test_without_models_to_ask_the_rule_is_not_feasible():
    updates = Updates.of(np.ones((2, 3), np.float32))
    with pytest.raises(InfeasibleError, match="FedDF needs answers of models"):
        FedDF()(updates, AggregationContext.of(updates))


@pytest.fixture(scope="module")
def classifier():
    return build_classifier("edge-cnn(width=4)", SHAPE, 2, image_size=0)


@pytest.fixture(scope="module")
def images():
    draw = np.random.default_rng(0)
    shown = draw.integers(0, 100, (48, *SHAPE), np.uint8)
    shown[::2, :8] += 100
    return shown


def divergence(teacher, logits):
    """KL(teacher || model), the mean over images."""
    log_p, log_q = (each - np.logaddexp.reduce(each, axis=1, keepdims=True) for each in (teacher, logits))
    return float((np.exp(log_p) * (log_p - log_q)).sum(1).mean())


def answers(classifier, weights, images):
    trainable, statistics = classifier.arrays(weights)
    return np.asarray(
        classifier.logits(trainable, statistics, images.astype(np.float32) / 255, training=True)[0]
    )


def test_the_average_moves_to_the_ensembles_answers_and_the_same_seed_gives_the_same_bits(classifier, images):
    start = classifier.initial_weights()
    teacher = np.where(np.arange(48)[:, None] % 2 == 0, [2.0, -2.0], [-2.0, 2.0])
    fusion = Fusion(images=0, steps=60, batch_size=16, learning_rate=0.01, temperature=1.0)
    fused = fuse(classifier, start, images, teacher, fusion, 3, 1)
    before, after = (divergence(teacher, answers(classifier, each, images)) for each in (start, fused))
    assert after < 0.3 * before
    again = fuse(classifier, start, images, teacher, fusion, 3, 1)
    assert again.digest() == fused.digest()
    assert fuse(classifier, start, images, teacher, fusion, 3, 2).digest() != fused.digest()


def test_a_model_that_answers_as_its_ensemble_hardly_moves(classifier, images):
    start = classifier.initial_weights()
    teacher = answers(classifier, start, images)
    fusion = Fusion(images=0, steps=1, batch_size=48, learning_rate=1e-3, temperature=1.0)
    fused = fuse(classifier, start, images, teacher, fusion, 0, 1)
    assert isinstance(Weights(fused.trainable, fused.statistics), Weights)
    # The gradient is rounding noise, which Adam still turns into steps of at most its rate.
    assert np.abs(fused.trainable - start.trainable).max() <= 1.1e-3
    assert divergence(teacher, answers(classifier, fused, images)) < 1e-2


@pytest.mark.slow
def test_a_federation_that_fuses_after_every_round_learns(tmp_path):
    """Phantoms are easy; a model that learnt nothing has an AUC of 0.5."""
    run = fedrobust.run(
        None,
        out=tmp_path / "run",
        federation__clients=4,
        federation__rounds=3,
        federation__aggregator="feddf(steps=40)",
        distillation__enabled=False,
        evaluation__attacks=[],
        audit__enabled=False,
        export__enabled=False,
        output__report=False,
    )
    assert run.record.rounds[-1].clean.auc > 0.9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"federation__secure_aggregation": True}, "robust rules and secure aggregation exclude"),
        ({"federation__aggregator": "feddf(images=9999)"}, "the root images come from the validation split"),
        ({"federation__pre_aggregators": ["bucketing"]}, "own BatchNorm statistics, and Bucketing mixes"),
    ],
)
def test_what_fusing_cannot_do_is_refused(settings, message):
    given = {"data__samples": 200, "model__name": "edge-cnn", "model__image_size": 28}
    with pytest.raises(ConfigError, match=message):
        check_data(Study(Experiment.of(**{**given, "federation__aggregator": "feddf", **settings})))
