"""In l2 no epsilon of linf is taken by default, neither by a study nor by an audit or an export of a model."""

import pytest

from fedrobust import api
from fedrobust.api import audits, exports
from fedrobust.checks import check_data
from fedrobust.config import ConfigError, Experiment
from fedrobust.study import Study


def checked(**settings):
    check_data(Study(Experiment.of(data__samples=200, **settings)))


@pytest.mark.parametrize(
    ("settings", "keys"),
    [
        ({}, "evaluation.epsilons and audit.epsilon, which"),
        ({"audit__epsilon": 0.5}, "evaluation.epsilons, which"),
        ({"evaluation__epsilons": [0.5]}, "audit.epsilon, which"),
        ({"evaluation__attacks": []}, "audit.epsilon, which"),
        ({"audit__enabled": False}, "evaluation.epsilons, which"),
    ],
)
def test_a_study_in_l2_names_its_epsilons(settings, keys):
    with pytest.raises(ConfigError, match=rf'evaluation\.norm = "l2" with the default of {keys} is for linf'):
        checked(evaluation__norm="l2", **settings)


def test_what_is_not_measured_needs_no_epsilon():
    checked(evaluation__norm="l2", evaluation__attacks=[], audit__enabled=False)
    checked(evaluation__norm="l2", evaluation__epsilons=[0.5], audit__epsilon=1.0)


@pytest.mark.parametrize(
    ("asked", "module"),
    [
        (lambda **how: api.audit_model("m.keras", **how), audits),
        (lambda **how: api.export_model("m.keras", **how), exports),
    ],
)
@pytest.mark.parametrize(
    ("given", "epsilon"),
    [({}, "2/255"), ({"norm": "l2"}, 0.5), ({"norm": "l2", "epsilon": 2}, 2), ({"epsilon": 0}, 0)],
)
def test_an_epsilon_that_is_not_given_is_the_usual_one_of_the_norm(
    asked, module, given, epsilon, monkeypatch
):
    class CheckedError(Exception):
        pass

    def check(epsilon, norm):
        raise CheckedError(epsilon, norm)

    monkeypatch.setattr(module, "check_epsilon", check)
    with pytest.raises(CheckedError) as found:
        asked(data="phantom", **given)
    assert found.value.args == (epsilon, given.get("norm", "linf"))
