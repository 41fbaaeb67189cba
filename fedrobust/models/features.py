"""A frozen backbone's features of images, computed once and cached in memory and, if large, on disk."""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from fedrobust.graphs.function import GraphFunction
from fedrobust.lazy import keras
from fedrobust.models.classifier import Classifier
from fedrobust.models.feature_file import read_features, write_features

BATCH = 64
"""Images in a call of the backbone; constant, so that results do not depend on the number of images."""

LARGE = 2**20
"""Bytes of features from which they are cached on disk."""

MOST_BYTES = 2**28
"""Most bytes of cached features in memory beside those of the known images."""


class Features:
    """The head's input features of images.

    Features are computed for a whole array, in its order and in batches of one size, and depend on nothing else. They
    must not depend on the order of calls: an image is looked up among the `known` images only; other images, such as
    those that a malicious client has changed, are computed as an array of their own.

    Args:
        classifier: a model whose layers are frozen except the head.
        known: uint8 (n, height, width, channels), such as a training split; None: none.
        settings: settings that the features depend on beside frozen arrays and images, for the name of the file.

    Example:
        >>> from fedrobust.models.classifier import build_classifier
        >>> images = np.random.default_rng(0).integers(0, 256, (70, 16, 16, 1), np.uint8)
        >>> classifier = build_classifier("edge-cnn", (16, 16, 1), classes=2, image_size=0, layers="head")
        >>> features = Features(classifier, images)
        >>> features.of(images[[69, 3]]).shape
        (2, 128)
        >>> bool((features.of(images[[69, 3]]) == features.whole(images)[[69, 3]]).all())
        True
    """

    def __init__(
        self,
        classifier: Classifier,
        known: np.ndarray | None = None,
        settings: Mapping[str, Any] | None = None,
    ):
        self.classifier = classifier
        self.size = int(classifier.layout.entries[0].shape[0])
        self._settings = dict(settings or {})
        self._known = known
        self._rows: dict[bytes, int] = {}
        self._kept: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._lock = threading.RLock()
        self._backbone = _backbone(classifier)

    def whole(self, images: np.ndarray) -> np.ndarray:
        """Return the features (n, d) float32, read-only, of a uint8 array of images, computed once."""
        key = _digest(images)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._made(images, key)
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and sum(each.nbytes for each in self._kept.values()) > MOST_BYTES:
                self._kept.popitem(last=False)
            return self._kept[key]

    @property
    def of_known(self) -> np.ndarray:
        """The features of the known images, (n, d) float32."""
        with self._lock:
            if "_of_known" not in self.__dict__:
                if (known := self._known) is None:
                    raise ValueError("no known images were given")
                self._of_known = self._made(known, _digest(known))
                # Of equal images the first one counts.
                self._rows = {_digest(image): row for row, image in reversed(list(enumerate(known)))}
            return self._of_known

    def of(self, images: np.ndarray) -> np.ndarray:
        """Return the features (n, d) float32 of uint8 images; those of known images are looked up."""
        if self._known is None:
            return self.whole(images)
        if images is self._known:
            return self.of_known
        known = self.of_known
        rows = np.array([self._rows.get(_digest(image), -1) for image in images])
        found = known[rows]
        if strange := np.flatnonzero(rows < 0).tolist():
            found[strange] = self.whole(images[strange])
        return found

    def _made(self, images: np.ndarray, key: bytes) -> np.ndarray:
        if 4 * len(images) * self.size < LARGE:
            return self._computed(images)
        name = self._name(key)
        found = read_features(name, (len(images), self.size))
        if found is None:
            found = self._computed(images)
            write_features(name, found)
        return found

    def _computed(self, images: np.ndarray) -> np.ndarray:
        parts = [np.zeros((0, self.size), np.float32)]
        for start in range(0, len(images), BATCH):
            batch = images[start : start + BATCH]
            filled = np.concatenate([batch, np.zeros((BATCH - len(batch), *batch.shape[1:]), np.uint8)])
            parts.append(self._backbone(tf.constant(filled)).numpy()[: len(batch)])
        found = np.concatenate(parts)
        found.setflags(write=False)
        return found

    def _name(self, key: bytes) -> str:
        preparation = self.classifier.preparation
        about = {
            **self._settings,
            "network": self.classifier.name,
            "frozen": self.classifier.layout.frozen,
            "native": preparation.native,
            "prepared": preparation.prepared,
            "images": key.hex(),
        }
        return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()


def head_logits(features: np.ndarray, classifier: Classifier, trainable: np.ndarray) -> np.ndarray:
    """Return the logits (n, classes) of features (n, d) by the head with weights `trainable` (parameters,)."""
    kernel, bias = classifier.layout.split(tf.constant(trainable), "trainable")
    return np.asarray(tf.matmul(tf.constant(features), kernel) + bias)


def _backbone(classifier: Classifier) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the compiled function from uint8 images to features, in inference mode."""
    network = classifier.network
    model = keras.Model(network.input, network.layers[-1].input)
    variables = network.non_trainable_variables
    held = {
        id(variables[place]): array
        for place, array in zip(classifier.frozen.places, classifier.frozen.arrays, strict=True)
    }
    constants = tuple(held[id(variable)] for variable in model.non_trainable_variables)

    def run(stored: tf.Tensor, arrays: tuple[tf.Tensor, ...]) -> tf.Tensor:
        images = classifier.preparation(tf.cast(stored, tf.float32) / 255.0)
        return model.stateless_call([], list(arrays), images, training=False)[0]

    # The frozen arrays are arguments, so that the graph kept on disk does not contain them.
    signature = [
        tf.TensorSpec([BATCH, *classifier.preparation.native], tf.uint8),
        tuple(tf.TensorSpec(array.shape, array.dtype) for array in constants),
    ]
    graph = GraphFunction(run, signature, classifier.origin, "features")
    return lambda stored: graph(stored, constants)


def _digest(array: np.ndarray) -> bytes:
    sha = hashlib.blake2b(f"{array.shape}".encode(), digest_size=20)
    sha.update(np.ascontiguousarray(array).data)
    return sha.digest()
