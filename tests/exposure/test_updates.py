"""Updates computed again from kept global models."""

import numpy as np
import pytest
import tensorflow as tf

from fedrobust.config import ConfigError, Experiment
from fedrobust.exposure.updates import Updates, check_replayable
from fedrobust.runs.kept_rounds import KeptRounds
from fedrobust.study import Study


@pytest.fixture(scope="module")
def updates(head_run):
    return Updates(Study.of(head_run.experiment), KeptRounds(head_run.folder))


def test_the_mean_of_the_updates_leads_from_each_kept_model_to_the_next(updates):
    assert updates.kept.numbers == (1, 2, 3)
    assert updates.rounds == (1, 2, 3)
    sizes = updates.study.partition.sizes
    for number in updates.rounds:
        moved = sum(size * updates.of(client, number) for client, size in enumerate(sizes)) / sizes.sum()
        after = updates.start(number).trainable + moved
        np.testing.assert_allclose(after, updates.kept.weights(number).trainable, atol=1e-6)


def test_alignments_are_cosines_with_the_gradient_of_each_image(updates, head_run):
    split = updates.study.dataset.train.of_rows(np.arange(7))
    sent = np.stack([updates.of(client, 2) for client in (0, 2)])
    classifier, start = updates.study.classifier, updates.start(2)
    trainable, statistics = classifier.arrays(start)
    expected = []
    for image, label in zip(split.images, split.labels, strict=True):
        with tf.GradientTape() as tape:
            tape.watch(trainable)
            prepared = classifier.preparation(tf.constant(image[None], tf.float32) / 255)
            logits = classifier.logits(trainable, statistics, prepared)[0]
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits([label], logits)
        slope = np.concatenate([np.ravel(each) for each in tape.gradient(loss, trainable)])
        expected.append(-sent @ slope / np.linalg.norm(slope) / np.linalg.norm(sent, axis=1))
    np.testing.assert_allclose(updates.alignments(sent, 2, split), np.transpose(expected), atol=1e-5)
    uncached = head_run.experiment.changed(training__cache_features=False)
    others = Updates(Study.of(uncached), updates.kept)
    np.testing.assert_allclose(others.alignments(sent, 2, split), np.transpose(expected), atol=1e-5)


def test_shadows_have_noise_of_their_own(head_run):
    """Noise that target and shadow share would cancel where they are compared."""
    private = {"federation__postprocessors": ["gaussian-dp(clip=1.0, noise-multiplier=50.0)"]}
    whole = Study.of(
        head_run.experiment.changed(federation__aggregator="mean(weighting='uniform')", **private)
    )
    halves = [whole.experiment.changed(data__train_share=0.5, data__train_draw=draw) for draw in (0, 1, 2)]
    seeds = [whole.local_training.noise_seed, *(Study.of(half).local_training.noise_seed for half in halves)]
    assert seeds[0] == whole.seed
    assert len(set(seeds)) == 4


def test_the_noise_of_an_update_is_the_clients_own_unless_another_is_asked(updates, head_run):
    local = {"federation__postprocessors": ["gaussian-dp(clip=1.0, noise-multiplier=50.0, noise='local')"]}
    noisy = Updates(Study.of(head_run.experiment.changed(**local)), updates.kept)
    own, again, other = noisy.of(0, 1), noisy.of(0, 1), noisy.of(0, 1, noise=5)
    np.testing.assert_array_equal(own, again)
    cosine = own @ other / np.linalg.norm(own) / np.linalg.norm(other)
    assert abs(cosine) < 0.1, "the noise is a hundred times the clipped update"


def test_an_update_of_nothing_is_aligned_with_nothing(updates):
    split = updates.study.dataset.train.of_rows(np.arange(3))
    nothing = np.zeros((1, updates.study.classifier.layout.parameters), np.float32)
    assert (updates.alignments(nothing, 1, split) == 0).all()


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"training__algorithm": "scaffold"}, "scaffold"), ({"federation__average": 0.9}, "average = 0.9")],
)
def test_updates_that_cannot_be_computed_again_are_refused(settings, named):
    with pytest.raises(ConfigError, match=named):
        check_replayable(Study.of(Experiment.of(**settings)))
