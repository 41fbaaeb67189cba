"""Availability: who is a member, whose replies are lost, who trains on a part of its batches."""

import dataclasses

import numpy as np
import pytest

from fedrobust.availability import AVAILABILITY, Availability, ClientAvailability
from fedrobust.availability.dropout import Dropout
from fedrobust.availability.straggler import Straggler
from fedrobust.checks import check_data
from fedrobust.config import ConfigError, Experiment
from fedrobust.registry import UnknownNameError
from fedrobust.spec import SpecError
from fedrobust.study import Study


def of(*lines, clients=6):
    return Availability.of(lines, clients)


def test_without_lines_everybody_takes_part():
    always = of()
    assert always.present(1, range(6)) == list(range(6))
    assert always.dropped(1, range(6), seed=0) == []
    assert always.work(1, 3, seed=0) == 1.0
    assert always.populations(2, malicious=(1,), clients=6) == [(6, 1), (6, 1)]


def test_attackers_come_late_leave_and_drop_out():
    lines = ["malicious: joins(round=2) + leaves(after=3) + dropout(probability=1.0)", "honest: straggler"]
    some = Availability.of(lines, 6, malicious=(1, 4))
    assert [some.present(round, range(6)) for round in (1, 2, 3, 4)] == [
        [0, 2, 3, 5],
        [0, 1, 2, 3, 4, 5],
        [0, 1, 2, 3, 4, 5],
        [0, 2, 3, 5],
    ]
    assert some.populations(4, (1, 4), 6) == [(4, 0), (6, 2), (6, 2), (4, 0)]
    assert some.dropped(2, range(6), seed=0) == [1, 4]
    assert some.work(1, 0, seed=0) < 1


def test_a_study_knows_its_malicious_clients_by_that_word():
    settings = {"federation__clients": 6, "federation__availability": ["malicious: joins(round=2)"]}
    study = Study(Experiment.of(poisoning__attack="sign-flip", poisoning__malicious=2, **settings))
    assert study.availability.present(1, range(6)) == sorted({*range(6)} - {*study.schedule.malicious})
    with pytest.raises(ConfigError, match=r"no client is malicious; set poisoning\.malicious"):
        check_data(Study(Experiment.of(**settings)))
    with pytest.raises(ConfigError, match='"all" or "malicious" or "honest"'):
        Experiment.of(federation__clients=6, federation__availability=["bad: dropout"])


def test_joined_parts_hold_together():
    some = of("0-1: joins(round=2) + leaves(after=3)", "4: absent(first=2, last=2)")
    assert [some.present(round, range(6)) for round in range(1, 5)] == [
        [2, 3, 4, 5],
        [0, 1, 2, 3, 5],
        [0, 1, 2, 3, 4, 5],
        [2, 3, 4, 5],
    ]
    assert some.populations(4, malicious=(0, 4), clients=6) == [(4, 1), (5, 1), (6, 2), (4, 1)]


def test_lost_replies_have_the_probability_and_depend_on_nobody_else():
    half = of("1-5: dropout(probability=0.5)")
    lost = np.array([np.isin(range(6), half.dropped(round, range(6), seed=3)) for round in range(1, 401)])
    assert not lost[:, 0].any()
    assert np.abs(lost[:, 1:].mean(0) - 0.5).max() < 4 * 0.5 / np.sqrt(400)
    assert half.dropped(7, [4], seed=3) == [
        client for client in half.dropped(7, range(6), seed=3) if client == 4
    ]
    assert half.dropped(7, range(6), seed=3) == half.dropped(7, range(6), seed=3)
    both = of("all: dropout(probability=0.5) + dropout(probability=0.5)")
    share = np.mean([len(both.dropped(round, range(6), seed=1)) / 6 for round in range(1, 401)])
    assert abs(share - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 2400)


def test_a_slow_round_has_a_share_between_the_bounds():
    slow = of("2: straggler(probability=0.5, least=0.2, most=0.4)")
    shares = np.array([slow.work(round, 2, seed=0) for round in range(1, 401)])
    drawn = shares[shares < 1]
    assert 0.2 <= drawn.min() < 0.22
    assert 0.38 < drawn.max() <= 0.4
    assert abs(len(drawn) / 400 - 0.5) < 0.1
    assert Straggler(probability=0.0).work(1, np.random.default_rng(0)) == 1.0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("7: dropout", "the study has clients 0 to 5"),
        ("0: absent(first=3, last=2)", "last = 2: choose a round from first = 3 on"),
        ("0: straggler(least=0.5, most=0.4)", "most = 0.4: choose a share from least = 0.5"),
        ("0: joins", "joins needs the setting round: a whole number from 1"),
        ("0: dropout(probability=1.5)", "choose a number from 0 to 1"),
        ("0:", '"CLIENTS: NAME \\+ NAME" is allowed, as in "0-2, 5: joins'),
        ("0: builtins:dict", "dict is no subclass of fedrobust.availability.ClientAvailability"),
    ],
)
def test_wrong_lines_are_refused(line, message):
    with pytest.raises(SpecError, match=message):
        of(line)


def test_names_are_told():
    with pytest.raises(UnknownNameError, match=r"'dropuot' is no availability.*dropout"):
        of("0: dropuot")
    with pytest.raises(SpecError, match="client 1 has a line already"):
        of("0-1: dropout", "1: straggler")


@pytest.mark.parametrize("name", sorted(AVAILABILITY))
def test_members_are_frozen_and_change_one_thing(name):
    member = AVAILABILITY[name]
    assert dataclasses.is_dataclass(member)
    changed = [each for each in ("is_present", "replies", "work") if each in vars(member)]
    assert len(changed) == 1
    assert issubclass(member, ClientAvailability)


def test_a_round_without_members_is_refused_before_training():
    study = Study(
        Experiment.of(
            federation__clients=4,
            federation__rounds=5,
            federation__availability=["0-2: joins(round=4)", "3: absent(first=2, last=3)"],
        )
    )
    with pytest.raises(
        ConfigError, match=r"federation.availability = .*: no client is a member in round 2 of 5"
    ):
        check_data(study)


def test_dropout_is_seeded_by_the_given_generator():
    draws = [Dropout(probability=0.5).replies(1, np.random.default_rng(seed)) for seed in range(20)]
    assert {True, False} == set(draws)
