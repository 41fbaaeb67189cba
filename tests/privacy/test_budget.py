"""A site's privacy budget: the composition of all studies, its ledger, and what it refuses."""

import json
import math
import multiprocessing
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from fedrobust.atomic import DiskError
from fedrobust.privacy import DPSGD, BudgetError, PrivacyBudget, Releases, Update, epsilon_by_pld
from fedrobust.privacy.accounting import epsilon_together

ONE = Update("mine", "0f3a", 1, Releases(4.0, 1))


def new(epsilon, ledger):
    """Return a budget with an empty ledger."""
    budget = PrivacyBudget(epsilon, 1e-3, ledger)
    budget.create()
    return budget


def test_gaussian_mechanisms_compose_by_their_squared_ratios():
    # T releases with multipliers z_i are one with z = (sum of z_i^-2)^-1/2 (Dong, Roth and Su, 2022, corollary 3.3).
    noises = (3.0, 5.0, 8.0)
    together = sum(noise**-2 for noise in noises) ** -0.5
    wanted = epsilon_by_pld(Releases(together, 1), 1e-3)
    assert epsilon_together([Releases(noise, 1) for noise in noises], 1e-3) == pytest.approx(wanted, rel=5e-3)


def test_a_replaced_image_counts_as_half_the_noise():
    replaced = epsilon_together([Releases(6.0, 2, replace_one=True)], 1e-3)
    assert replaced == pytest.approx(epsilon_together([Releases(3.0, 2)], 1e-3))


def test_the_order_of_updates_and_their_grouping_do_not_matter():
    sampled, whole = Releases(1.2, 6, "poisson", 0.1), Releases(9.0, 2)
    one = epsilon_together([sampled, whole, sampled], 1e-3)
    again = epsilon_together([whole.after(1), sampled.after(12), whole.after(1)], 1e-3)
    assert one == pytest.approx(again, rel=1e-9)
    assert one > max(epsilon_together([sampled.after(12)], 1e-3), epsilon_together([whole], 1e-3))


def test_no_noise_spends_everything_and_no_release_nothing():
    assert epsilon_together([Releases(5.0, 3), Releases(0.0, 1)], 1e-3) == math.inf
    assert epsilon_together([Releases(0.0, 0)], 1e-3) == 0


def test_the_rounds_of_a_study_with_noise_for_an_epsilon_fit_into_a_budget_of_it_and_no_more(tmp_path):
    training = DPSGD(epsilon=4.0, batch_size=16, rounds=5)
    one = training.releases(60, training.noise(60)).after(training.steps(60))
    budget = new(4.0, tmp_path / "ledger.json")
    spent = [budget.reserve(replace(ONE, round=round, releases=one)) for round in range(1, 6)]
    assert spent == sorted(spent)
    assert spent[-1] == pytest.approx(4.0, rel=5e-3)
    with pytest.raises(
        BudgetError, match=r"privacy-epsilon = 4 .* round 5 of mine .* in 5 updates to epsilon 4\.\d"
    ):
        budget.reserve(replace(ONE, round=5, releases=one))
    assert len(budget.updates()) == 5


def test_a_study_is_refused_with_the_number_of_rounds_that_fit(tmp_path):
    budget = new(1.0, tmp_path / "ledger.json")
    budget.check(ONE.releases, 2)
    with pytest.raises(
        BudgetError, match=r"epsilon 0 in 0 updates, and 9 rounds .* to \d\.\d+: 2 of them fit"
    ):
        budget.check(ONE.releases, 9)
    budget.reserve(ONE)
    with pytest.raises(BudgetError, match=r"in 1 updates, and 2 rounds .*: 1 of them fit"):
        budget.check(ONE.releases, 2)
    with pytest.raises(BudgetError, match=r"in 1 updates to an infinite epsilon, as it has no noise"):
        budget.reserve(replace(ONE, releases=Releases(0.0, 1)))


def test_the_ledger_is_read_as_it_was_written_by_its_owner_alone(tmp_path):
    budget = new(9.0, tmp_path / "ledger.json")
    poisson = Update("other", "77aa", 3, Releases(1.5, 4, "poisson", 0.25), "2026-01-01 00:00:00")
    budget.reserve(ONE)
    budget.reserve(poisson)
    assert budget.updates() == (ONE, poisson)
    assert budget.ledger.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"updates": [{"study": "mine"}]}',
        '{"updates": [{"study": "m", "digest": "d", "round": 1, "releases": {"noise_multiplier": "a", "count": 1}}]}',
        '{"updates": [{"study": "m", "digest": "d", "round": 1, "releases": {"noise_multiplier": 1, "count": -1}}]}',
        '{"updates": [{"study": "m", "digest": "d", "round": 1, "releases": '
        '{"noise_multiplier": 1, "count": 1, "sampling": "none"}}]}',
    ],
)
def test_a_damaged_ledger_allows_nothing(tmp_path, text):
    budget = PrivacyBudget(9.0, 1e-3, tmp_path / "ledger.json")
    budget.ledger.write_text(text)
    with pytest.raises(
        BudgetError, match=r"is damaged .*: put back a copy, and add the updates that were counted"
    ):
        budget.reserve(ONE)
    assert budget.ledger.read_text() == text


def test_a_ledger_that_was_lost_allows_nothing_and_is_not_made_anew(tmp_path):
    budget = new(9.0, tmp_path / "ledger.json")
    budget.reserve(ONE)
    budget.ledger.unlink()
    for lost in (budget, replace(budget, ledger=tmp_path / "not mounted" / "ledger.json")):
        asked = (
            lost.updates,
            lost.spent,
            partial(lost.check, ONE.releases, 1),
            partial(lost.reserve, ONE),
        )
        for ask in asked:
            with pytest.raises(
                BudgetError, match=r"there is no ledger .* mount its disk.* deploy ledger FOLDER"
            ):
                ask()
        assert not lost.ledger.exists()
    assert not (tmp_path / "not mounted").exists()


def test_a_ledger_is_not_made_twice(tmp_path):
    budget = new(9.0, tmp_path / "ledger.json")
    budget.reserve(ONE)
    with pytest.raises(BudgetError, match="there is a ledger already, with 1 updates"):
        budget.create()
    assert budget.updates() == (ONE,)


def test_a_ledger_that_cannot_be_written_allows_nothing(tmp_path):
    with pytest.raises(DiskError, match="cannot be written"):
        PrivacyBudget(9.0, 1e-3, tmp_path / "none" / "ledger.json").create()
    budget = new(9.0, tmp_path / "ledger.json")
    (tmp_path / "ledger.lock").unlink()
    (tmp_path / "ledger.lock").mkdir()
    with pytest.raises(DiskError, match=r"ledger\.lock: cannot be written"):
        budget.reserve(ONE)


def test_a_ledger_that_another_user_owns_is_not_taken_for_a_damaged_one(tmp_path, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    budget = new(9.0, tmp_path / "ledger.json")
    monkeypatch.setattr(type(tmp_path), "read_text", denied)
    with pytest.raises(
        BudgetError, match="cannot be read: Permission denied; the node's user has to read and"
    ):
        budget.reserve(ONE)


def _reserve(path, count):
    for round in range(count):
        PrivacyBudget(99.0, 1e-3, path).reserve(replace(ONE, round=round))


def test_processes_that_write_at_once_lose_no_update(tmp_path):
    path = new(99.0, tmp_path / "ledger.json").ledger
    processes = [multiprocessing.Process(target=_reserve, args=(path, 5)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(one["round"] for one in json.loads(path.read_text())["updates"]) == sorted([*range(5)] * 3)
    assert np.isfinite(PrivacyBudget(99.0, 1e-3, path).spent())
