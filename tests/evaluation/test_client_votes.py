"""Votes of groups of clients: against every change of m votes, on all small elections."""

from itertools import combinations, product

import numpy as np
import pytest

import fedrobust
from fedrobust.config import ConfigError
from fedrobust.evaluation.client_votes import certified_clients, groups_of, majority


def changed(votes, number, classes):
    """Yield what `votes` become when any `number` of them are other ones."""
    for places in combinations(range(len(votes)), number):
        for others in product(range(classes), repeat=number):
            after = list(votes)
            for place, other in zip(places, others, strict=True):
                after[place] = other
            yield after


@pytest.mark.parametrize(("models", "classes"), [(3, 2), (4, 2), (5, 2), (4, 3), (5, 3)])
def test_the_number_is_the_largest_that_changes_no_answer(models, classes):
    elections = list(product(range(classes), repeat=models))
    answers = np.array(elections).T
    found = certified_clients(answers, classes)
    for votes, chosen, certified in zip(elections, majority(answers, classes), found, strict=True):
        steadfast = 0
        while steadfast < models and all(
            majority(np.array(after)[:, None], classes)[0] == chosen
            for after in changed(votes, steadfast + 1, classes)
        ):
            steadfast += 1
        assert certified == steadfast, votes


def test_equal_votes_go_to_the_smaller_class():
    assert majority(np.array([[1, 2], [0, 1]]), 3).tolist() == [0, 1]


@pytest.mark.parametrize(("clients", "groups"), [(10, 3), (7, 7), (100, 9)])
def test_every_client_is_in_one_group(clients, groups):
    found = groups_of(clients, groups, seed=3)
    assert sorted(client for group in found for client in group) == list(range(clients))
    assert len(found) == groups
    assert max(map(len, found)) - min(map(len, found)) <= 1
    assert found == groups_of(clients, groups, seed=3) != groups_of(clients, groups, seed=4)


@pytest.mark.parametrize(
    ("groups", "settings", "message"),
    [
        (2, {}, "groups = 2: choose 3 to federation.clients = 4"),
        (5, {}, "groups = 5: choose 3 to federation.clients = 4"),
        (3, {"federation__availability": ["0: joins(round=2)"]}, "federation.availability.*leave it out"),
    ],
)
def test_what_cannot_be_certified_is_refused(groups, settings, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        fedrobust.certify_clients(None, groups, out=tmp_path / "out", federation__clients=4, **settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_certified_answers_stand_against_a_malicious_client(tmp_path):
    """Twice the same federation, once with an attacker: what was certified against one client has the same answer."""
    settings = {
        "data__samples": 400,
        "model__name": "edge-cnn(width=8)",
        "model__image_size": 28,
        "federation__clients": 6,
        "federation__rounds": 2,
        "training__batch_size": 16,
    }
    attack = {"poisoning__attack": "sign-flip", "poisoning__malicious": 1}
    clean = fedrobust.certify_clients(None, 3, out=tmp_path / "clean", **settings)
    attacked = fedrobust.certify_clients(None, 3, out=tmp_path / "attacked", **settings, **attack)
    assert len(attacked["malicious"]) == 1
    answers = [
        (one["answer"], other["answer"])
        for one, other in zip(clean["images"], attacked["images"], strict=True)
        if one["clients"]
    ]
    assert len(answers) > 100
    assert all(before == after for before, after in answers)
    moved = [
        one["accuracy"] != other["accuracy"]
        for one, other in zip(clean["groups"], attacked["groups"], strict=True)
    ]
    assert sum(moved) == 1
    again = fedrobust.certify_clients(None, 3, out=tmp_path / "clean", **settings)
    assert again == clean
    with pytest.raises(ConfigError, match="runs of another study"):
        fedrobust.certify_clients(None, 3, out=tmp_path / "clean", **{**settings, "federation__rounds": 1})
