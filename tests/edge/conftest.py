import zipfile
from dataclasses import dataclass

import numpy as np
import pytest

from fedrobust.edge.about import About

ABOUT = About(("small", "large", "no disc"), (28, 28, 1), model="student", data="discs")


@dataclass(frozen=True)
class Study:
    model: object
    images: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    calibration: np.ndarray


def discs(n, seed):
    """Grey images with a bright disc: small (0), large (1) or absent (2), in 8 bits over [0, 1]."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    rows, columns = np.mgrid[:28, :28]
    centres = rng.uniform(10, 18, (n, 2, 1, 1))
    distance = np.hypot(rows - centres[:, 0], columns - centres[:, 1])
    radius = np.array([3.0, 8.0, 0.0])[labels][:, None, None]
    images = 0.3 + 0.5 * (distance < radius) + 0.05 * rng.standard_normal((n, 28, 28))
    return (np.round(255 * images.clip(0, 1)) / 255).astype(np.float32)[..., None], labels


@pytest.fixture(scope="session")
def study():
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((28, 28, 1))
    x = keras.ops.image.resize(inputs, (32, 32))
    x = keras.layers.Concatenate()([x, x, x])
    # ResNet50's own scaling: the one that a wrong calibration does most harm to.
    x = keras.layers.Rescaling(255.0, [-103.939, -116.779, -123.68])(x)
    x = keras.layers.Conv2D(16, 3, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.MaxPooling2D(4)(x)
    x = keras.layers.Conv2D(32, 3, use_bias=False)(x)
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.2)(x)
    model = keras.Model(inputs, keras.layers.Dense(3)(x))
    model.compile(
        keras.optimizers.Adam(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    training, answers = discs(512, seed=1)
    model.fit(training, answers, batch_size=32, epochs=8, verbose=0)
    images, labels = discs(200, seed=2)
    return Study(model, images, labels, np.asarray(model(images, training=False)), training[:100])


@pytest.fixture
def bare():
    """Return the model of a file, without what it says of itself."""

    def bare(path):
        with zipfile.ZipFile(path) as archive:
            return path.read_bytes()[: min(each.header_offset for each in archive.infolist())]

    return bare


@pytest.fixture(scope="session")
def exported(study, tmp_path_factory):
    from fedrobust.edge.export import export

    folder = tmp_path_factory.mktemp("exported")
    return export(
        study.model,
        folder,
        ["float32", "float16", "dynamic", "int8", "int16x8"],
        study.calibration,
        stem="student",
        about=ABOUT,
    )
