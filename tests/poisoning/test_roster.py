import pytest

from fedrobust.config import ConfigError, Experiment, Poisoning
from fedrobust.poisoning import attacks_in
from fedrobust.study import malicious_of, tolerated_of


def study(**settings):
    return Experiment.of(**{"poisoning__attack": "sign-flip", "federation__clients": 10, **settings})


def test_a_share_a_number_or_a_list_says_who_is_malicious():
    assert len(malicious_of(study(poisoning__malicious=0.25))) == 3
    assert len(malicious_of(study(poisoning__malicious=4))) == 4
    assert malicious_of(study(poisoning__malicious=[7, 2])) == (2, 7)
    assert malicious_of(study(poisoning__malicious=0.0)) == ()
    assert malicious_of(study(poisoning__malicious=0.5, poisoning__attack="none")) == ()
    assert len(malicious_of(study(poisoning__malicious=1.0))) == 10
    assert len(malicious_of(study(poisoning__malicious=1))) == 1


def test_who_it_is_depends_on_the_seed_alone():
    drawn = {malicious_of(study(poisoning__malicious=3, seed=seed)) for seed in range(20)}
    assert len(drawn) > 10
    assert malicious_of(study(poisoning__malicious=3)) == malicious_of(
        study(poisoning__malicious=3, poisoning__attack="alie", federation__aggregator="median")
    )


def test_strangers_and_too_many_are_refused():
    with pytest.raises(ConfigError, match="there is no client 10, only 0 to 9"):
        study(poisoning__malicious=[3, 10])
    with pytest.raises(ConfigError, match="there are 10 clients"):
        study(poisoning__malicious=11)


def test_defences_reckon_with_as_many_as_there_are_unless_told():
    assert tolerated_of(study(poisoning__malicious=3)) == 3
    assert tolerated_of(study(poisoning__malicious=3, poisoning__attack="none")) == 3, (
        "the clean cell of a sweep"
    )
    assert tolerated_of(study(poisoning__malicious=3, federation__participation=0.5)) == 2
    assert tolerated_of(study(poisoning__malicious=3, federation__tolerate=1)) == 1
    assert tolerated_of(study(poisoning__malicious=3, federation__tolerate=0.2)) == 2
    assert tolerated_of(study()) == 0


def test_settings_survive_flowers_run_config():
    for settings in (
        {"poisoning__malicious": [1, 2]},
        {"poisoning__malicious": 0.3, "federation__pre_aggregators": ["nnm", "clipping(threshold=2.0)"]},
        {"federation__aggregator": "multi-krum(m=2)", "federation__tolerate": 0.1},
    ):
        experiment = study(**settings)
        assert Experiment.from_run_config(experiment.to_run_config()) == experiment


def rounds_of_attack(**settings):
    poisoning = study(poisoning__malicious=1, **settings).poisoning
    return [number for number in range(1, 13) if attacks_in(poisoning, number)]


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
    assert not attacks_in(Poisoning(), 1)
