"""Epsilons are those of the norm, and of whole grey levels where images have them."""

import pytest

from fedrobust import api
from fedrobust.api import audits, exports
from fedrobust.audit.plan import Plan
from fedrobust.checks import check_data
from fedrobust.config import ConfigError, Experiment
from fedrobust.evasion import Threat
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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {},
            r"evaluation\.epsilons: 0\.001, 0\.002, 0\.003 with evaluation\.bits = 8: .*evaluation\.epsilons = "
            r'\[0\.004, 0\.005, "1/255", "2/255", "4/255", "8/255"\]',
        ),
        ({"evaluation__epsilons": ["0.5/255"]}, r"evaluation\.epsilons: 0\.5/255 with evaluation\.bits = 8"),
        (
            {"evaluation__attacks": [], "audit__epsilon": 0.001},
            r"audit\.epsilon: 0\.001 with evaluation\.bits = 8",
        ),
        ({"evaluation__attacks": [], "audit__epsilons": [0.002, 0.1]}, r"audit\.epsilons: .* = \[0\.1\]"),
    ],
)
def test_no_epsilon_is_below_the_grey_level_of_an_8_bit_image(settings, message):
    with pytest.raises(ConfigError, match=message):
        checked(evaluation__bits=8, **settings)


def test_whole_grey_levels_are_measured_in_8_bits():
    checked(evaluation__bits=8, evaluation__epsilons=["1/255", "2/255"])
    checked(evaluation__bits=8, evaluation__attacks=[])
    for given in ({"epsilon": "0.9/255"}, {"curve": ("2/255", "0.9/255")}):
        with pytest.raises(ConfigError, match=r"epsilon = 0\.9/255 with bits = 8"):
            Plan(threat=Threat(bits=8), **given)
