"""What a server that sees single updates is sent: the updates of a run's honest clients, computed again.

A client's local update is a function of the global model, its images, the round and the study's seed. From a kept
global model the very update is computed that the client sent, postprocessors included.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from fedrobust.config import ConfigError
from fedrobust.data.dataset import Split
from fedrobust.lazy import tf
from fedrobust.leakage.confidence import Floats
from fedrobust.memoize import part
from fedrobust.models.layout import Weights
from fedrobust.privacy.sent import postprocessed
from fedrobust.runs.kept_rounds import KeptRounds
from fedrobust.study import Study
from fedrobust.study.local_training import UNCHANGED

BATCH = 32
"""Images whose gradients are in memory at once, of models that are trained below the head."""


def check_replayable(study: Study) -> None:
    """Refuse what makes an update more than a function of the global model and the client's images.

    Raises:
        ConfigError: the server sees sums only, the algorithm keeps a state at clients, the exchanged weights are an
            average over rounds, or clients draw their images on demand.
    """
    federation, algorithm = study.experiment.federation, study.algorithm
    if federation.secure_aggregation:
        raise ConfigError(
            "federation.secure-aggregation = true: the server sees sums only, and no single update: attacks on single "
            "updates do not apply"
        )
    if any(hasattr(algorithm, trait) for trait in ("client", "sends", "broadcasts")):
        raise ConfigError(
            f'training.algorithm = "{study.experiment.training.algorithm}": its clients keep a state, so that their '
            'updates cannot be computed again; allowed: "fedavg", "fedprox"'
        )
    if federation.average:
        raise ConfigError(
            f"federation.average = {federation.average}: rounds begin with other weights than those that are kept; "
            "attacks on single updates need federation.average = 0"
        )


@dataclass(frozen=True, eq=False)
class Updates:
    """The updates of a run's clients.

    Attributes:
        study: of the run.
        kept: its kept global models.
    """

    study: Study
    kept: KeptRounds

    @part
    def initial(self) -> Weights:
        """The global model before the first round."""
        return self.study.initial()[1]

    @property
    def rounds(self) -> tuple[int, ...]:
        """The rounds whose updates can be computed: those that follow a kept global model, and the first."""
        last = self.study.experiment.federation.rounds
        return (1, *(number + 1 for number in self.kept.numbers if number < last))

    def start(self, round: int) -> Weights:
        """Return the global model that the clients were sent in a round."""
        return self.initial if round == 1 else self.kept.weights(round - 1)

    def of(self, client: int, round: int, shard: Split | None = None, noise: int | None = None) -> np.ndarray:
        """Return the update (d,) of the trainable weights that a client sends; see `sent`."""
        return self.sent(client, round, shard, noise=noise).trainable - self.start(round).trainable

    def sent(
        self,
        client: int,
        round: int,
        shard: Split | None = None,
        start: Weights | None = None,
        noise: int | None = None,
    ) -> Weights:
        """Return the weights that a client sends, or would send with other images or from another global model.

        Args:
            client: its number.
            round: one of `rounds`.
            shard: other images than the client's own.
            start: another global model than the round's.
            noise: seed of other noise of differential privacy, and of other batches with it, than the client's own.
        """
        study, start = self.study, self.start(round) if start is None else start
        changed = study.changed(client) or UNCHANGED
        own = study.shard(client) if shard is None else shard
        training = study.local_training
        if noise is not None and training.privacy is not None:
            training = replace(training, seed=noise)
        after, _ = training(own, start, round, client, changed=changed, work=study.work(round, client))
        seed = training.noise_seed if noise is None else noise
        return postprocessed(study.postprocessors, after, start, seed, round, client)

    def alignments(self, updates: np.ndarray, round: int, split: Split) -> Floats:
        """Return the cosine of updates and minus each image's gradient at the round's global model.

        The gradient is that of the cross-entropy of the image's label, in inference mode.

        Args:
            updates: (clients, d).
            round: whose global model the images are asked of.
            split: n images.

        Returns:
            (clients, n); 0 where an update or a gradient is zero.
        """
        lengths = np.linalg.norm(updates, axis=1)
        directions = np.divide(updates.T, lengths, out=np.zeros_like(updates.T), where=lengths > 0)
        if self.study.experiment.training.features_are_cached and self.study.classifier.defence is None:
            return self._of_head(directions, round, split)
        arrays = self.study.classifier.arrays(self.start(round))
        found = [
            np.asarray(
                self._cosines(
                    *arrays,
                    tf.constant(split.images[at : at + BATCH]),
                    tf.constant(split.labels[at : at + BATCH]),
                    tf.constant(directions, tf.float32),
                )
            )
            for at in range(0, len(split), BATCH)
        ]
        return np.concatenate(found).T.astype(np.float64)

    def _of_head(self, directions: np.ndarray, round: int, split: Split) -> Floats:
        """Return the cosines of a head's updates: its gradient is the outer product of features and error."""
        classifier = self.study.classifier
        features = np.asarray(self.study.features.of(split.images), np.float64)
        kernel, bias = (np.asarray(each) for each in classifier.arrays(self.start(round))[0])
        logits = features @ kernel + bias
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        errors = shares / shares.sum(axis=1, keepdims=True)
        errors[np.arange(len(split)), split.labels] -= 1
        d, k = kernel.shape
        along = np.einsum(
            "nd,dkc,nk->cn", features, directions[: d * k].reshape(d, k, -1), errors, optimize=True
        )
        along += (errors @ directions[d * k :]).T
        lengths = np.linalg.norm(errors, axis=1) * np.sqrt((features**2).sum(axis=1) + 1)
        found: Floats = -np.divide(along, lengths, out=np.zeros_like(along), where=lengths > 0)
        return found

    @part
    def _cosines(self) -> Any:
        classifier = self.study.classifier

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
        def cosines(trainable: Any, statistics: Any, stored: Any, labels: Any, directions: Any) -> Any:
            def one(image: Any, label: Any) -> Any:
                with tf.GradientTape() as tape:
                    tape.watch(trainable)
                    prepared = classifier.preparation(tf.cast(image[None], tf.float32) / 255.0)
                    logits = classifier.logits(trainable, statistics, prepared)[0]
                    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(label[None], logits)
                slopes = tape.gradient(loss, trainable, unconnected_gradients="zero")
                gradient = tf.concat([tf.reshape(each, [-1]) for each in slopes], 0)
                return -tf.math.divide_no_nan(tf.linalg.matvec(directions, gradient, True), tf.norm(gradient))

            return tf.map_fn(lambda pair: one(*pair), (stored, labels), fn_output_signature=tf.float32)

        return partial(cosines)
