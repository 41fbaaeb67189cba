"""What studies of one process share, and what they are told apart by."""

from types import SimpleNamespace

import pytest

import fedrobust.study.shared
from fedrobust.config import Experiment
from fedrobust.study import Study


@pytest.fixture
def asked(monkeypatch):
    """Return what is asked of the loader."""
    seen = []

    def load(*places, **settings):
        seen.append((places, settings))
        return SimpleNamespace(
            name="own",
            label_names=(),
            multilabel=False,
            train=SimpleNamespace(images="images", labels="labels"),
        )

    monkeypatch.setattr(fedrobust.study.shared, "load", load)
    return seen


def study(**settings) -> Study:
    """Return a study of sets of which no other test has heard."""
    names = {"data__name": "own", "distillation__public": "public"}
    return Study(
        Experiment.of(**{**names, "data__size": 28, "data__samples": 60, "data__root": "here", **settings})
    )


def test_the_studys_own_and_its_public_images_are_read_with_the_same_settings(asked):
    both = study(seed=5)
    assert (both.public, both.dataset) == (both.public, both.dataset)
    how = {"seed": 5, "base": None, "classes": 2, "channels": 1, "samples": 60, "multilabel": False}
    assert asked == [(("public", 28, "here"), how), (("own", 28, "here"), how)]


def test_a_study_without_public_images_reads_none(asked):
    assert study(distillation__public="").public is None
    assert asked == []


def test_the_seed_tells_drawn_images_apart_and_no_others(asked):
    drawn = {"data__name": "phantom", "data__root": "there"}
    assert study(seed=5, **drawn).dataset is not study(seed=6, **drawn).dataset
    assert study(seed=5, data__root="there").dataset is study(seed=6, data__root="there").dataset
    assert len(asked) == 3
