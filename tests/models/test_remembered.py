"""Classifiers that are not built: the same layout, facts, weights and files as those that are."""

import io
import json
import sys
import zipfile
from types import ModuleType

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from fedrobust.defences import BitDepth
from fedrobust.graphs.kept import KeptFilesNotice, kept_files
from fedrobust.models import remembered as module
from fedrobust.models.architectures import architecture_named
from fedrobust.models.classifier import build_classifier
from fedrobust.models.layout import Weights
from fedrobust.models.model_template import TemplateError, code, template_of, write_filled
from fedrobust.models.remembered import Remembered, remembered_classifier

edge_cnn = architecture_named("edge-cnn").features

SMALL = {"native": (40, 40, 1), "classes": 2, "image_size": 20}


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDROBUST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FEDROBUST_GRAPH_CACHE", "on")
    return kept_files()


@pytest.fixture
def never_built(monkeypatch):
    def build(*arguments, **settings):
        pytest.fail("the network was built")

    return lambda: monkeypatch.setattr(module, "build_classifier", build)


def test_a_classifier_is_built_once_for_all_processes(kept, never_built):
    built = build_classifier("edge-cnn", seed=3, **SMALL)
    first = remembered_classifier("edge-cnn", seed=3, **SMALL)
    never_built()
    again = remembered_classifier("edge-cnn", seed=3, **SMALL)
    for found in (first, again):
        assert found.layout == built.layout
        assert found.facts == built.facts
        assert found.preparation == built.preparation
        assert found.origin == built.origin
        assert found.initial_weights().digest() == built.initial_weights().digest()
        assert (found.classes, found.parameters) == (2, built.parameters)


def test_another_seed_or_another_network_is_built(kept):
    digests = {
        remembered_classifier("edge-cnn", seed=seed, **SMALL).initial_weights().digest() for seed in (3, 4, 3)
    }
    assert len(digests) == 2
    assert len(list(kept.folder.iterdir())) == 3, "one network, two times first weights"
    remembered_classifier("edge-cnn", seed=3, **{**SMALL, "classes": 3})
    assert len(list(kept.folder.iterdir())) == 5


def test_a_network_that_is_asked_for_is_built_with_its_weights(kept):
    for _ in range(2):
        found = remembered_classifier("edge-cnn", seed=3, **SMALL)
    assert "network" not in found.__dict__
    arrays = found.layout.unflatten(found.initial_weights())
    variables = [*found.network.trainable_variables, *found.network.non_trainable_variables]
    assert all(np.array_equal(each, variable) for each, variable in zip(arrays, variables, strict=True))
    assert found.network is found.network


@pytest.mark.parametrize("defence", [None, BitDepth(bits=3)])
def test_the_file_of_a_network_that_is_not_built_is_that_of_keras(kept, never_built, tmp_path, draw, defence):
    settings = {**SMALL, "defence": defence}
    first = remembered_classifier("edge-cnn", **settings)
    start = first.initial_weights()
    weights = Weights(
        draw.normal(size=start.trainable.shape).astype(np.float32),
        draw.random(start.statistics.shape).astype(np.float32),
    )
    first.save(start, tmp_path / "first.keras")
    first.deployable(weights).save(tmp_path / "keras.keras")
    never_built()
    remembered_classifier("edge-cnn", **settings).save(weights, tmp_path / "ours.keras")
    members = {}
    for name in ("first", "keras", "ours"):
        with zipfile.ZipFile(tmp_path / f"{name}.keras") as archive:
            assert archive.testzip() is None
            members[name] = {each: archive.read(each) for each in archive.namelist()}
    assert list(members["ours"]) == list(members["keras"])
    # Keras numbers layers without a name as they come: those of another model have other ones.
    assert members["ours"]["config.json"] == members["first"]["config.json"]
    told = [json.loads(each["metadata.json"]) for each in members.values()]
    assert told[1] | {"date_saved": ""} == told[2] | {"date_saved": ""}
    files = [h5py.File(io.BytesIO(members[name]["model.weights.h5"])) for name in ("keras", "ours")]
    names = []
    files[0].visititems(lambda name, each: names.append(name) if isinstance(each, h5py.Dataset) else None)
    assert len(names) > len(first.layout.entries), "the matrices that shrink images are there, too"
    assert all(np.array_equal(*(file[name] for file in files)) for name in names)
    images = draw.random((3, 40, 40, 1)).astype(np.float32)
    loaded = [keras.models.load_model(tmp_path / f"{name}.keras") for name in ("keras", "ours")]
    assert np.array_equal(*(model(images) for model in loaded))


def test_partly_frozen_networks_are_built_every_time(kept):
    assert not isinstance(remembered_classifier("edge-cnn", **SMALL, layers="head"), Remembered)
    assert not kept.folder.exists()


def test_networks_of_a_users_own_are_built_every_time(kept, monkeypatch):
    own = ModuleType("own")
    own.build = edge_cnn
    monkeypatch.setitem(sys.modules, "own", own)
    assert not isinstance(remembered_classifier("own:build", **SMALL), Remembered)
    assert not kept.folder.exists()


def test_weights_of_another_file_are_others(kept, tmp_path):
    path, found = tmp_path / "own.weights.h5", []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        architecture_named("edge-cnn").features((20, 20, 1)).save_weights(path)
        given = {**SMALL, "weights": "own.weights.h5", "weights_file": path}
        built = build_classifier("edge-cnn", **given).initial_weights().digest()
        found += [remembered_classifier("edge-cnn", **given).initial_weights().digest() for _ in range(2)]
        assert found[-2:] == [built, built]
    assert found[0] != found[2]


def test_numbers_of_another_network_are_said_and_built_anew(kept):
    first = remembered_classifier("edge-cnn", seed=3, **SMALL)
    start = first.origin.and_of(weights="random", seed=3)
    kept.write(start.name(module.FIRST), np.zeros(5, "<f4").tobytes())
    with pytest.warns(KeptFilesNotice, match="5 numbers for another network"):
        again = remembered_classifier("edge-cnn", seed=3, **SMALL)
    assert again.initial_weights().digest() == first.initial_weights().digest()


def dense(tmp_path, *values):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    for variable, value in zip(model.variables, values, strict=True):
        variable.assign(np.full(variable.shape, value, np.float32))
    model.save(tmp_path / "dense.keras")
    return tmp_path / "dense.keras"


def test_a_file_that_does_not_show_its_arrays_has_no_template(tmp_path):
    with pytest.raises(TemplateError, match="it holds 1 of 2 arrays"):
        template_of(dense(tmp_path, code(0), 0.5), [(2, 2), (2,)])
    with pytest.raises(TemplateError, match="is not the array 1"):
        template_of(dense(tmp_path, code(1), code(0)), [(2, 2), (2,)])


def test_arrays_that_are_not_the_templates_are_refused(tmp_path):
    template = template_of(dense(tmp_path, code(0), code(1)), [(2, 2), (2,)])
    for arrays in ([np.zeros((2, 2))], [np.zeros((2, 2)), np.zeros(3)]):
        with pytest.raises(TemplateError):
            write_filled(template, arrays, tmp_path / "new.keras")


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("edge-cnn", "backbone.weights.h5"),
        pytest.param("mobilenetv2", "random", marks=pytest.mark.slow),
        pytest.param("mobilenetv2", "imagenet", marks=pytest.mark.slow),
    ],
)
def test_a_network_that_a_trace_needs_first_is_built_outside_of_it(kept, tmp_path, name, weights):
    """Its weights are read from a file with NumPy, which a graph has none of."""
    file = tmp_path / "backbone.weights.h5"
    settings = {"weights": weights, "weights_file": None if weights == "random" else file}
    small = {"native": (32, 32, 3), "classes": 2, "image_size": 32}
    architecture_named(name).features((32, 32, 3)).save_weights(file)
    remembered_classifier(name, **small, **settings)
    found = remembered_classifier(name, **small, **settings)
    assert "network" not in found.__dict__
    first = found.initial_weights()
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)

    @tf.function
    def traced(trainable, statistics, images):
        arrays = found.layout.split(trainable, "trainable"), found.layout.split(statistics, "statistic")
        return found.logits(*arrays, images)[0]

    answers = traced(tf.constant(first.trainable), tf.constant(first.statistics), tf.constant(images))
    np.testing.assert_allclose(answers, found.network(found.preparation(images)), rtol=1e-4, atol=1e-5)
