"""Settings that do nothing are refused or told."""

import pytest

from fedrobust.checks import check_data
from fedrobust.checks.unused import refused, told
from fedrobust.config import ConfigError, Experiment
from fedrobust.study import Study

WITHOUT = "does nothing without audit.control"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"audit__control_input": "0..255"}, f"audit.control-input = .* {WITHOUT}"),
        ({"audit__control_labels": "1,0"}, f"audit.control-labels = .* {WITHOUT}"),
        (
            {
                "training__layers": "head",
                "training__unfreeze": ["2: last-20", "4: all"],
                "federation__rounds": 2,
            },
            '"4: all" does nothing with federation.rounds = 2',
        ),
        ({"export__formats": []}, r"export.enabled = true does nothing with export.formats = \[\]"),
        ({"export__formats": ["int8", "onnx", "int8"]}, "export.formats = .*: int8 stands twice"),
        ({"evaluation__baselines": ["local", "local"]}, "evaluation.baselines = .*: local stands twice"),
        ({"evaluation__attacks": ["pgd", "fgsm", "pgd()"]}, r"evaluation.attacks = .*: pgd\(\) stands twice"),
    ],
)
def test_what_can_mean_nothing_else_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        check_data(Study(Experiment.of(data__samples=200, **settings)))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"export__formats": [], "export__enabled": False},
        {"audit__control": "c.keras", "audit__control_input": "0..255", "audit__control_labels": "1,0"},
        {"training__layers": "head", "training__unfreeze": ["2: all"], "federation__rounds": 2},
    ],
)
def test_what_does_something_is_not(settings):
    assert not list(refused(Experiment.of(**settings)))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"data__name": "breastmnist", "data__samples": 500},
            "data.samples = 500 does nothing with data.name",
        ),
        ({"data__name": "own.npz", "data__classes": 3}, "data.classes = 3 does nothing with data.name"),
        (
            {"data__name": "own.npz", "data__size": 64},
            'data.size = 64 does nothing with data.name = "own.npz"',
        ),
        (
            {"data__clients": ["a.npz", "b.npz"], "data__partition": "site", "data__channels": 3},
            "data.channels = 3 does nothing with data.clients",
        ),
        (
            {"evaluation__select_by": "loss"},
            'evaluation.select-by = "loss" does nothing with evaluation.select',
        ),
        ({"distillation__gamma": 2.0}, "distillation.gamma = 2 does nothing with distillation.teacher"),
        ({"data__train_draw": 1}, "data.train-draw = 1 does nothing with data.train-share = 1"),
        (
            {"model__normalization": "group", "model__batchnorm_policy": "moments"},
            'model.batchnorm-policy = "moments" does nothing with model.normalization = "group"',
        ),
    ],
)
def test_what_a_sweep_may_mean_is_told(settings, said):
    (one,) = told(Experiment.of(**settings))
    assert one.startswith(said)


@pytest.mark.parametrize(
    "settings",
    [
        {"data__samples": 500, "data__size": 64, "data__channels": 3},
        {"data__name": "breastmnist", "data__size": 64},
        {"data__name": "own.npz", "distillation__public": "phantom", "data__samples": 500, "data__size": 64},
        {"evaluation__select": "best", "evaluation__select_by": "loss"},
        {"distillation__teacher": "class-logits", "distillation__gamma": 2.0},
        {"data__train_share": 0.5, "data__train_draw": 1},
        {"model__batchnorm_policy": "moments"},
    ],
)
def test_what_is_used_is_not_told(settings):
    assert told(Experiment.of(**settings)) == []
