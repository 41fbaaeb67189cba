import pytest

from fedrobust.config import ConfigError, Experiment
from fedrobust.poisoning import Schedule
from fedrobust.study import Study


def study(**settings):
    return Experiment.of(**{"poisoning__attack": "sign-flip", "federation__clients": 10, **settings})


def test_a_share_a_number_or_a_list_says_who_is_malicious():
    assert len(study(poisoning__malicious=0.25).malicious) == 3
    assert len(study(poisoning__malicious=4).malicious) == 4
    assert study(poisoning__malicious=[7, 2]).malicious == (2, 7)
    assert study(poisoning__malicious=0.0).malicious == ()
    assert study(poisoning__malicious=0.5, poisoning__attack="none").malicious == ()
    assert len(study(poisoning__malicious=1.0).malicious) == 10
    assert len(study(poisoning__malicious=1).malicious) == 1


def test_who_it_is_depends_on_the_seed_alone():
    drawn = {study(poisoning__malicious=3, seed=seed).malicious for seed in range(20)}
    assert len(drawn) > 10
    assert (
        study(poisoning__malicious=3).malicious
        == study(poisoning__malicious=3, poisoning__attack="alie", federation__aggregator="median").malicious
    )


def test_strangers_and_too_many_are_refused():
    with pytest.raises(ConfigError, match="there is no client 10, only 0 to 9"):
        study(poisoning__malicious=[3, 10])
    with pytest.raises(ConfigError, match="there are 10 clients"):
        study(poisoning__malicious=11)


def test_defences_reckon_with_as_many_as_there_are_unless_told():
    assert study(poisoning__malicious=3).tolerated == 3
    assert study(poisoning__malicious=3, poisoning__attack="none").tolerated == 3, "the clean cell of a sweep"
    assert study(poisoning__malicious=3, federation__participation=0.5).tolerated == 2
    assert study(poisoning__malicious=3, federation__tolerate=1).tolerated == 1
    assert study(poisoning__malicious=3, federation__tolerate=0.2).tolerated == 2
    assert study().tolerated == 0


def test_settings_survive_flowers_run_config():
    for settings in (
        {"poisoning__malicious": [1, 2]},
        {"poisoning__malicious": 0.3, "federation__pre_aggregators": ["nnm", "clipping(threshold=2.0)"]},
        {"federation__aggregator": "multi-krum(m=2)", "federation__tolerate": 0.1},
    ):
        experiment = study(**settings)
        assert Experiment.from_run_config(experiment.to_run_config()) == experiment


def rounds_of_attack(**settings):
    schedule = Study(study(poisoning__malicious=1, **settings)).schedule
    active = [number for number in range(1, 13) if schedule.active(number)]
    assert active == [number for number in range(1, 13) if schedule.attackers(number, range(10))]
    return active


def test_the_calendar_of_an_attack():
    assert rounds_of_attack() == list(range(1, 13))
    assert rounds_of_attack(poisoning__first_round=4) == list(range(4, 13))
    assert rounds_of_attack(poisoning__last_round=4) == [1, 2, 3, 4]
    assert rounds_of_attack(poisoning__first_round=2, poisoning__last_round=9, poisoning__every=3) == [
        2,
        5,
        8,
    ]
    assert rounds_of_attack(poisoning__first_round=3, poisoning__last_round=3) == [3]
    assert not Study(Experiment.of()).schedule.attackers(1, range(10))


def test_of_the_sampled_clients_the_malicious_ones_attack():
    schedule = Schedule((2, 5), first_round=2)
    assert schedule.attackers(2, [0, 2, 4]) == {2}
    assert schedule.attackers(2, [5, 2]) == {2, 5}
    assert schedule.attackers(1, [0, 2, 4]) == frozenset()
