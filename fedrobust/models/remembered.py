"""Classifiers that are built on demand: facts and initial weights are read from files of an earlier process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fedrobust.graphs.kept import KeptFiles, kept_files
from fedrobust.graphs.origin import Origin
from fedrobust.lazy import keras, tf
from fedrobust.memoize import part
from fedrobust.models.classifier import Classifier, build_classifier, origin_of, prepared_shape
from fedrobust.models.facts import NetworkFacts
from fedrobust.models.frozen import Frozen
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.models.model_template import TemplateError, code, template_of, write_filled
from fedrobust.models.naming import Normalization
from fedrobust.models.network_file import pinned_parts
from fedrobust.models.preparation import Preparation, Shape
from fedrobust.models.saving import save_model
from fedrobust.temporary import temporary_folder

NETWORK, FIRST, FILE = "network", "first weights", "model file"
"""Kinds of kept files of a classifier, see `Origin.name`."""


class Remembered(Classifier):
    """A `Classifier` whose network is built only when it is needed.

    Args:
        origin: key of everything that the network depends on.
        layout: the order of its arrays.
        facts: facts of its network.
        first: its initial weights.
        preparation: from native images to prepared ones.
        build: builds the classifier.
        files: the kept files.
        name: the architecture's registered name.
        defence: prediction-time defence of native images.
        multilabel: whether its logits are findings rather than classes.
    """

    _first: Weights
    _build: Callable[[], Classifier]
    _files: KeptFiles
    _origin: Origin

    def __init__(
        self,
        origin: Origin,
        layout: Layout,
        facts: NetworkFacts,
        first: Weights,
        preparation: Preparation,
        build: Callable[[], Classifier],
        files: KeptFiles,
        name: str,
        defence: Callable[[Any], Any] | None,
        multilabel: bool = False,
    ):
        known = {"name": name, "preparation": preparation, "layout": layout, "defence": defence}
        # The base class is frozen: attributes are set in `__dict__`.
        self.__dict__.update(known, frozen=Frozen(), origin=origin, facts=facts, multilabel=multilabel)
        self.__dict__.update(_first=first, _build=build, _files=files, _origin=origin)

    @part
    def network(self) -> keras.Model:
        """The Keras model, built on first use, outside of the graph that may be traced at that time."""
        with tf.init_scope():
            return self._build().network

    def initial_weights(self) -> Weights:
        """Return the network's initial weights."""
        return self._first

    def save(self, weights: Weights, path: Path) -> None:
        """Write the `deployable` model with `weights`; a template of the file is kept for later models."""
        name = self._origin.name(FILE)
        template = self._files.read(name)
        if template is not None:
            write_filled(template, self.layout.unflatten(weights), path)
            return
        model = self.deployable(weights)
        save_model(model, path)
        with suppress(TemplateError), temporary_folder("fedrobust-template-") as folder:
            coded = folder / "coded.keras"
            variables = self._variables(next(each for each in model.layers if isinstance(each, keras.Model)))
            for place, variable in enumerate(variables):
                variable.assign(np.full(variable.shape, code(place), np.float32))
            save_model(model, coded)
            self._files.write(name, template_of(coded, [entry.shape for entry in self.layout.entries]))


def remembered_classifier(
    name: str,
    native: Shape,
    classes: int,
    image_size: int = 32,
    momentum: float = 0.9,
    scaling: Any = "backbone",
    weights: str = "random",
    weights_file: Path | None = None,
    seed: int = 0,
    defence: Callable[[Any], Any] | None = None,
    layers: str = "all",
    normalization: Normalization = "batch",
    head: str = "keep",
    multilabel: bool = False,
) -> Classifier:
    """Return the classifier that `build_classifier` builds, without building it where its kept files suffice.

    Kept are layout, facts and initial weights. Users' own networks, networks with frozen layers, and weights that Keras
    downloads are always built.

    Raises:
        ModelError: the size, the number of classes, or the weights do not fit the architecture.
        UnknownNameError: there is no such architecture.
    """
    build = partial(
        build_classifier,
        name,
        native,
        classes,
        image_size=image_size,
        momentum=momentum,
        scaling=scaling,
        weights=weights,
        weights_file=weights_file,
        seed=seed,
        defence=defence,
        layers=layers,
        normalization=normalization,
        head=head,
        multilabel=multilabel,
    )
    files = kept_files()
    prepared = prepared_shape(name, native, image_size)
    origin = origin_of(
        name,
        native,
        prepared,
        classes,
        momentum,
        scaling,
        defence,
        layers,
        normalization=normalization,
        multilabel=multilabel,
    )
    given = weights if weights in ("random", "file") else _digest(weights_file)
    if files is None or origin is None or layers != "all" or not given:
        return build()
    start = origin.and_of(weights=given, seed=seed, **({"head": head} if weights == "file" else {}))
    assert start is not None
    kept = _read(files, origin, start, pinned_parts(name)[1])
    if kept is None:
        built = build()
        kept = built.layout, built.facts, built.initial_weights()
        _write(files, origin, start, *kept)
        found = Remembered(origin, *kept, built.preparation, build, files, name, defence, multilabel)
        found.__dict__["network"] = built.network
        return found
    return Remembered(origin, *kept, Preparation(native, prepared), build, files, name, defence, multilabel)


def _read(
    files: KeptFiles, origin: Origin, start: Origin, network: str
) -> tuple[Layout, NetworkFacts, Weights] | None:
    about, numbers = files.read(origin.name(NETWORK)), files.read(start.name(FIRST))
    if about is None or numbers is None:
        return None
    content = json.loads(about)
    entries = tuple(Entry(path, tuple(shape), kind) for path, shape, kind in content["entries"])
    layout, vector = Layout(entries, network=network), np.frombuffer(numbers, "<f4")
    facts = NetworkFacts(**{**content["facts"], "momenta": tuple(content["facts"]["momenta"])})
    if vector.size != layout.parameters + layout.statistics:
        files.forget(start.name(FIRST), f"{vector.size} numbers for another network")
        return None
    return layout, facts, Weights(vector[: layout.parameters].copy(), vector[layout.parameters :].copy())


def _write(
    files: KeptFiles, origin: Origin, start: Origin, layout: Layout, facts: NetworkFacts, first: Weights
) -> None:
    entries = [(entry.path, entry.shape, entry.kind) for entry in layout.entries]
    files.write(origin.name(NETWORK), json.dumps({"entries": entries, "facts": asdict(facts)}).encode())
    numbers = np.concatenate([first.trainable, first.statistics]).astype("<f4", copy=False)
    files.write(start.name(FIRST), numbers.tobytes())


def _digest(file: Path | None) -> str:
    """Return the SHA-256 of a file, "" if there is none."""
    if file is None:
        return ""
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return ""  # the error is raised when the network is built
