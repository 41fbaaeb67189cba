"""Names of graphs: other settings or other software, another name; what is not this project's has none."""

from dataclasses import dataclass

import pytest

from fedrobust.graphs import origin as module
from fedrobust.graphs.origin import Origin
from fedrobust.spec import build
from fedrobust.training.losses import BalancedSoftmax, CrossEntropy
from fedrobust.training.optimizers import Adam
from fedrobust.training.recipes import RECIPES, FGSMTraining, PGDTraining


@dataclass(frozen=True)
class OwnLoss:
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class OwnRecipe(PGDTraining):
    pass


def name(**parts):
    return Origin.of(**parts).name("local update")


def test_the_name_follows_every_setting():
    base = {
        "recipe": FGSMTraining(epsilon=0.01),
        "optimizer": Adam(),
        "loss": CrossEntropy(),
        "native": (28, 28, 1),
    }
    changes = [
        {"recipe": FGSMTraining(epsilon=0.02)},
        {"optimizer": Adam(beta_1=0.8)},
        {"loss": BalancedSoftmax()},
        {"native": (28, 28, 3)},
        {"more": 1},
    ]
    names = {name(**base), *(name(**{**base, **change}) for change in changes)}
    assert len(names) == 1 + len(changes)
    assert name(**base) == name(**dict(reversed(base.items())))


@pytest.mark.parametrize(
    "part", [OwnLoss(), (Adam(), OwnLoss()), lambda images: images, {"defence": OwnLoss()}]
)
def test_what_is_not_known_by_its_text_is_not_kept(part):
    assert Origin.of(model="edge-cnn", part=part) is None
    assert Origin.of(model="edge-cnn").and_of(part=part) is None


@pytest.mark.parametrize("outer", ["awp", "advprop"])
def test_a_recipe_inside_of_another_is_known_unless_it_is_the_users_own(outer):
    inner = ["pgd", "pgd(steps=3)", "trades"]
    names = {name(recipe=build(RECIPES, f"{outer}(recipe='{one}')")) for one in inner}
    assert len(names) == len(inner)
    own = build(RECIPES, f"{outer}(recipe='{__name__}:OwnRecipe')")
    assert Origin.of(recipe=own) is None


@pytest.mark.parametrize("package", ["code", "tensorflow", "keras", "python"])
def test_the_name_follows_the_software(monkeypatch, package):
    before = name(model="edge-cnn")
    software = {**module.software(), package: "another"}
    monkeypatch.setattr(module, "software", lambda: software)
    assert name(model="edge-cnn") != before
