"""The global model before its recipe begins, kept on file."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from small_study import saving, weights

from fedrobust.defences.median import Median
from fedrobust.models.classifier import build_classifier
from fedrobust.models.two_batchnorms import TwoBatchNorms
from fedrobust.runs.folder import RunFolder
from server.callbacks import UNDEFENDED, FinishedRound, UndefendedSnapshot


def after_round_three(folder, recipe_from, measured=None):
    """Return the models that are deployed after round 3."""
    deployed = []
    classifier = SimpleNamespace(
        save=lambda given, path: deployed.append(given) or saving("deployed").save(path), defence=None
    )
    snapshot = UndefendedSnapshot(classifier, RunFolder(folder), recipe_from)
    assert snapshot(FinishedRound(3, weights(3.0), measured)) == {}
    return deployed


@pytest.mark.parametrize("measured", [None, {"clean": {}, "robust": {}}])
def test_the_model_before_a_recipe_begins_is_kept(tmp_path, measured):
    (deployed,) = after_round_three(tmp_path, recipe_from=4, measured=measured)
    assert deployed.digest() == weights(3.0).digest()
    assert (tmp_path / UNDEFENDED).read_text() == "deployed"


@pytest.mark.parametrize("begins", [1, 3, 5])
def test_models_of_other_rounds_are_not_kept(tmp_path, begins):
    assert after_round_three(tmp_path, recipe_from=begins) == []
    assert not (tmp_path / UNDEFENDED).exists()


@pytest.mark.parametrize("kind", [lambda classifier: classifier, TwoBatchNorms])
def test_the_model_that_is_kept_is_without_the_prediction_time_defence(tmp_path, kind, draw):
    behind = kind(build_classifier("edge-cnn", (16, 16, 1), 2, image_size=0, defence=Median(size=3)))
    start = behind.initial_weights()
    UndefendedSnapshot(behind, RunFolder(tmp_path), recipe_from=2)(FinishedRound(1, start, None))
    kept = keras.models.load_model(tmp_path / UNDEFENDED, compile=False)
    images = draw.random((4, 16, 16, 1), dtype=np.float32)
    found = np.asarray(kept(images))
    np.testing.assert_allclose(found, behind.with_defence(None).deployable(start)(images), atol=1e-5)
    assert not np.allclose(found, behind.deployable(start)(images), atol=1e-3)
