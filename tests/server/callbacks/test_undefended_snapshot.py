"""The global model before its recipe begins, kept on file."""

from types import SimpleNamespace

import pytest
from small_study import saving, weights

from fedrobust.runs.folder import RunFolder
from server.callbacks import UNDEFENDED, FinishedRound, UndefendedSnapshot


def after_round_three(folder, recipe_from, measured=None):
    """Return the models that are deployed after round 3."""
    deployed = []
    classifier = SimpleNamespace(
        save=lambda given, path: deployed.append(given) or saving("deployed").save(path)
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
