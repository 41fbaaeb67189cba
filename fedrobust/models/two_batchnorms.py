"""A classifier with a second set of BatchNorm, for adversarial images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from fedrobust.lazy import keras, tf
from fedrobust.memoize import part
from fedrobust.models.architecture import ModelError
from fedrobust.models.classifier import Classifier
from fedrobust.models.facts import NetworkFacts
from fedrobust.models.layout import AUXILIARY, Entry, Kind, Layout, Weights

Value = TypeVar("Value")


class TwoBatchNorms(Classifier):
    """A classifier whose weights hold a second, auxiliary set of BatchNorm (Xie et al., 2020, arXiv:1911.09665).

    The auxiliary scales, shifts and moving statistics are arrays of the layout, named ``auxiliary/PATH``: they are
    trained, exchanged and averaged as all others, and begin as copies of the main set. They take part only where
    `logits` is asked for them. Evaluation, attacks and files have the main set alone.

    Args:
        main: the classifier with the main set.

    Raises:
        ModelError: no BatchNorm layer is trained.
    """

    main: Classifier

    def __init__(self, main: Classifier):
        owners = {
            entry.path.rpartition("/")[0]
            for entry in main.layout.entries
            if entry.path.endswith("moving_mean")
        }
        of_batchnorm = [entry.path.rpartition("/")[0] in owners for entry in main.layout.entries]
        if not owners:
            raise ModelError(
                f"{main.name}: a second set of BatchNorm needs a network with BatchNorm layers that are trained; "
                'choose another network, model.normalization = "batch" and training.layers that include it, or another '
                "recipe"
            )
        entries = main.layout.entries
        both: list[Entry] = []
        # In front, since the last trained layer is the head.
        for kind in ("trainable", "statistic"):
            both += [
                replace(entry, path=AUXILIARY + entry.path)
                for entry, copied in zip(entries, of_batchnorm, strict=True)
                if copied and entry.kind == kind
            ]
            both += [entry for entry in entries if entry.kind == kind]
        known = {
            "name": main.name,
            "preparation": main.preparation,
            "layout": Layout(tuple(both), main.layout.frozen, main.layout.network),
            "defence": main.defence,
            "frozen": main.frozen,
            "origin": main.origin and main.origin.and_of(batchnorms=2),
            "multilabel": main.multilabel,
            "main": main,
        }
        # The base class is frozen: attributes are set in `__dict__`.
        self.__dict__.update(known)

    @part
    def network(self) -> keras.Model:
        """The Keras model, which has the main set's layers only."""
        return self.main.network

    @part
    def facts(self) -> NetworkFacts:
        """Facts of the network."""
        return self.main.facts

    @property
    def parameters(self) -> int:
        """Number of trainable parameters of the network with one set."""
        return self.main.parameters

    def with_defence(self, defence: Callable[[Any], Any] | None) -> Classifier:
        """Return this model behind a prediction-time defence, see `Classifier.with_defence`."""
        return TwoBatchNorms(self.main.with_defence(defence))

    def logits(
        self,
        trainable: Sequence[tf.Tensor],
        statistics: Sequence[tf.Tensor],
        prepared: tf.Tensor,
        training: bool = False,
        auxiliary: bool = False,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Return logits (n, classes) and statistics after the pass; with `auxiliary` by the auxiliary set.

        The pass changes the statistics of the set that it uses; those of the other are returned as they were.
        """
        second, first = self.sets("trainable", trainable)
        others, moving = self.sets("statistic", statistics)
        if not auxiliary:
            logits, after = self.main.logits(first, moving, prepared, training)
            return logits, [*others, *after]
        logits, after = self.main.logits(
            self._replaced("trainable", first, second),
            self._replaced("statistic", moving, others),
            prepared,
            training,
        )
        return logits, [*(after[place] for place in self._places["statistic"]), *moving]

    def sets(self, kind: Kind, arrays: Sequence[Value]) -> tuple[list[Value], list[Value]]:
        """Return the arrays of the auxiliary set, and those of `main`."""
        count = len(self._places[kind])
        return list(arrays[:count]), list(arrays[count:])

    def initial_weights(self) -> Weights:
        """Return the initial weights, with equal sets."""
        return self.with_equalsets(self.main.initial_weights())

    def with_equalsets(self, weights: Weights) -> Weights:
        """Return weights of the `main` classifier, with an auxiliary set that is a copy of the main one."""
        arrays = dict(
            zip(
                (entry.path for entry in self.main.layout.entries),
                self.main.layout.unflatten(weights),
                strict=True,
            )
        )
        return self.layout.flatten(
            [arrays[entry.path.removeprefix(AUXILIARY)] for entry in self.layout.entries]
        )

    def of_main(self, weights: Weights) -> Weights:
        """Return the weights of the `main` classifier."""
        return Weights(
            weights.trainable[len(weights.trainable) - self.main.layout.parameters :],
            weights.statistics[len(weights.statistics) - self.main.layout.statistics :],
        )

    def deployable(self, weights: Weights) -> keras.Model:
        """Return a Keras model with the main set, see `Classifier.deployable`."""
        return self.main.deployable(self.of_main(weights))

    def save(self, weights: Weights, path: Path) -> None:
        """Write the `deployable` model."""
        self.main.save(self.of_main(weights), path)

    def weights_of(self, model: keras.Model) -> Weights | None:
        """Return the weights of a `deployable` model, with equal sets; None for another model."""
        weights = self.main.weights_of(model)
        return None if weights is None else self.with_equalsets(weights)

    @part
    def _places(self) -> dict[Kind, list[int]]:
        """For each kind the places of the copied arrays among those of `main`."""
        copied = {
            entry.path.removeprefix(AUXILIARY)
            for entry in self.layout.entries
            if entry.path.startswith(AUXILIARY)
        }
        kinds: tuple[Kind, ...] = ("trainable", "statistic")
        return {
            kind: [place for place, entry in enumerate(self.main.layout.of(kind)) if entry.path in copied]
            for kind in kinds
        }

    def _replaced(self, kind: Kind, arrays: Sequence[Value], others: Sequence[Value]) -> list[Value]:
        """Return the arrays of `main` with the auxiliary set in place of the main one."""
        new = dict(zip(self._places[kind], others, strict=True))
        return [new.get(place, array) for place, array in enumerate(arrays)]


def main_of(classifier: Classifier, weights: Weights) -> tuple[Classifier, Weights]:
    """Return a classifier with one set of BatchNorm and its weights: the `main` one of two, else the same."""
    if isinstance(classifier, TwoBatchNorms):
        return classifier.main, classifier.of_main(weights)
    return classifier, weights
