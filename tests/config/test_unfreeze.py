import pytest

from fedrobust.config import ConfigError, Experiment


def training(layers="head", unfreeze=(), **settings):
    settings = {f"training__{name}": value for name, value in settings.items()}
    return Experiment.of(training__layers=layers, training__unfreeze=list(unfreeze), **settings).training


def test_each_round_has_the_layers_that_were_unfrozen_last():
    one = training(unfreeze=["4: last-20", "8: all"])
    assert [one.in_round(round).layers for round in (1, 3, 4, 7, 8, 100)] == [
        "head",
        "head",
        "last-20",
        "last-20",
        "all",
        "all",
    ]
    assert one.trained_layers == "all"
    assert one.in_round(1).trained_layers == "all", "what travels is the same in every round"
    assert training().trained_layers == "head"


def test_the_recipe_begins_whatever_is_frozen():
    one = training(unfreeze=["2:all"], recipe="fgsm", recipe_from=3)
    assert [(one.in_round(r).recipe, one.in_round(r).layers) for r in (1, 2, 3)] == [
        ("plain", "head"),
        ("plain", "all"),
        ("fgsm", "all"),
    ]


def test_features_of_a_backbone_that_is_unfrozen_later_are_not_kept():
    assert training().features_are_cached
    assert not training(unfreeze=["4: all"]).in_round(1).features_are_cached


@pytest.mark.parametrize(
    ("layers", "unfreeze", "message"),
    [
        ("head", ["all"], "ROUND: LAYERS"),
        ("head", ["x: all"], "ROUND: LAYERS"),
        ("head", ["4: some"], r'"4: some": allowed: "all"'),
        ("head", ["1: all"], "rounds ascend"),
        ("head", ["4: last-2", "4: all"], "rounds ascend"),
        ("head", ["4: last-9", "5: last-3"], "holds the one before"),
        ("all", ["4: head"], "holds the one before"),
        ("head", ["4: head"], "and more"),
        ("blocks:1", ["4: last-20"], "holds the one before"),
    ],
)
def test_what_does_not_unfreeze_more_and_more_is_refused(layers, unfreeze, message):
    with pytest.raises(ConfigError, match=message):
        training(layers, unfreeze)


def test_a_factor_for_layers_that_are_never_trained_is_refused():
    with pytest.raises(ConfigError, match=r"does nothing with training\.layers"):
        training(backbone_rate=0.1)
    assert training(unfreeze=["2: all"], backbone_rate=0.1).backbone_rate == 0.1
