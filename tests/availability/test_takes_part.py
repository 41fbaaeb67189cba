"""A study whose attack cannot take place, or whose clients never take part, is refused before its first round."""

import pytest

from fedrobust.checks import check_data
from fedrobust.config import ConfigError, Experiment
from fedrobust.study import Study

FLIP = {"poisoning__attack": "sign-flip", "poisoning__malicious": 2}
NOBODY = "no malicious client takes part in the rounds of the attack"


def checked(*lines, **settings):
    small = {"data__samples": 200, "federation__rounds": 5, "federation__availability": list(lines)}
    check_data(Study(Experiment.of(**{**small, **settings})))


@pytest.mark.parametrize(
    ("line", "settings", "message"),
    [
        ("malicious: joins(round=50)", {}, rf"{NOBODY} \(1, 2, 3, \.\.\., 5\)"),
        ("malicious: leaves(after=2)", {"poisoning__first_round": 4}, rf"{NOBODY} \(4, 5\)"),
        ("malicious: joins(round=3)", {"poisoning__last_round": 2}, rf"{NOBODY} \(1, 2\)"),
        ("malicious: absent(first=3, last=3)", {"poisoning__first_round": 3, "poisoning__every": 4}, NOBODY),
        ("0: dropout(probability=1.0)", {"poisoning__malicious": [0]}, NOBODY),
        ("honest: leaves(after=1)", {"poisoning__malicious": 3}, "all clients of round 2 attack"),
        ("honest: dropout(probability=1)", {}, "all clients of round 1 attack"),
    ],
)
def test_an_attack_that_cannot_take_place_is_refused(line, settings, message):
    with pytest.raises(ConfigError, match=rf'federation\.availability = .*"sign-flip": {message}'):
        checked(line, **{**FLIP, **settings})


@pytest.mark.parametrize(
    ("line", "settings"),
    [
        ("malicious: joins(round=5)", {}),
        ("malicious: leaves(after=2)", {"poisoning__first_round": 2}),
        ("malicious: dropout(probability=0.99)", {}),
        ("honest: leaves(after=2)", {"poisoning__last_round": 2}),
        ("honest: joins(round=2)", {"poisoning__first_round": 2}),
        ("0: joins(round=2)", {"poisoning__malicious": [0]}),
    ],
)
def test_an_attack_in_one_round_suffices(line, settings):
    checked(line, **{**FLIP, **settings})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["0: joins(round=3) + leaves(after=2)"], r"client 0: no part in any of 5 rounds; change \"joins"),
        (["0-2: joins(round=99)"], "client 0 and 2 more: no part in any of 5 rounds"),
        (["3: dropout(probability=1)", "1: dropout"], "client 3: no part in any of 5 rounds"),
        (["all: joins(round=2) + dropout(probability=1)"], "no client is a member in round 1 of 5"),
        (["all: dropout(probability=1.0)"], "no reply arrives in round 1 of 5"),
        (["0-8: leaves(after=3)", "9: dropout(probability=1.0)"], "no reply arrives in round 4 of 5"),
    ],
)
def test_clients_that_never_take_part_are_refused(lines, message):
    with pytest.raises(ConfigError, match=rf"federation\.availability = .*: {message}"):
        checked(*lines)
