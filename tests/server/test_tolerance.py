"""How many attackers a defence reckons with, and how often there are more of them."""

from itertools import combinations

import pytest

from fedrobust.config import ConfigError, Experiment
from fedrobust.config.tolerated import in_a_round
from fedrobust.runs.forecast import attackers
from fedrobust.runs.record import to_json
from fedrobust.study import Study
from server.tolerance import tolerance_of


def more_than(f, population, malicious, sampled):
    """Return the probability of more than f malicious clients in a round of a fixed number."""
    return in_a_round("fixed", sampled / population, population, malicious).sf(f)


@pytest.mark.parametrize(
    ("population", "malicious", "sampled"), [(6, 2, 3), (7, 3, 4), (5, 5, 2), (8, 1, 8), (6, 0, 3)]
)
def test_the_probability_is_counted(population, malicious, sampled):
    rounds = list(combinations(range(population), sampled))
    for tolerated in range(sampled + 1):
        more = sum(len([client for client in each if client < malicious]) > tolerated for each in rounds)
        assert more_than(tolerated, population, malicious, sampled) == pytest.approx(more / len(rounds))


def told(**settings):
    study = Study(Experiment.of(**{"federation__clients": 30, **settings}))
    return tolerance_of(
        study.experiment.federation,
        study.defence,
        study.tolerated,
        study.schedule.malicious,
        study.availability,
    )


ATTACK = {"poisoning__attack": "sign-flip", "poisoning__malicious": 6, "federation__participation": 0.4}


def test_what_the_record_says():
    assert to_json(told(**ATTACK, federation__aggregator="krum")) == {
        "clients": 3,  # 6 of 30 are 2.4 of 12
        "source": "truth",
        "quantile": None,
        "told": True,
        "sampled": 12,
        "malicious": 6,
        "population": 30,
        "probability-of-more": pytest.approx(more_than(3, 30, 6, 12)),
    }


@pytest.mark.parametrize(
    ("settings", "clients", "source", "asks"),
    [
        ({"federation__aggregator": "krum", "federation__tolerate": 4}, 4, "given", True),
        ({"federation__aggregator": "krum", "federation__tolerate": 0.25}, 3, "given", True),
        ({"federation__aggregator": "krum(f=2)"}, 2, "given", True),
        ({"federation__aggregator": "median"}, 3, "truth", False),
        ({"federation__aggregator": "median", "federation__pre_aggregators": ["nnm"]}, 3, "truth", True),
        ({"federation__aggregator": "median", "federation__pre_aggregators": ["nnm(f=1)"]}, 1, "given", True),
    ],
)
def test_whose_word_it_is(settings, clients, source, asks):
    found = told(**ATTACK, **settings)
    assert (found.clients, found.source, found.given) == (clients, source, asks)
    assert found.probability_of_more == pytest.approx(more_than(clients, 30, 6, 12))


@pytest.mark.parametrize("quantile", [0.01, 0.5, 0.84, 0.85, 0.95, 0.99, 0.9999])
def test_a_quantile_is_the_smallest_number_that_is_enough_so_often(quantile):
    found = told(**ATTACK, federation__aggregator="median", federation__tolerate_quantile=quantile)
    f = found.clients
    assert (found.source, found.quantile) == ("truth", quantile)
    assert found.probability_of_more <= 1 - quantile
    assert f == 0 or more_than(f - 1, 30, 6, 12) > 1 - quantile


def test_a_quantile_and_a_number_do_not_go_together():
    with pytest.raises(
        ConfigError, match=r"tolerate-quantile = 0\.9 does nothing with federation\.tolerate = 2"
    ):
        told(federation__tolerate=2, federation__tolerate_quantile=0.9)
    assert told(federation__tolerate_quantile=0.9, federation__aggregator="krum").clients == 0, (
        "nobody attacks"
    )


def test_without_attackers_there_is_no_probability():
    found = told(federation__aggregator="krum")
    assert (found.malicious, found.probability_of_more) == (0, None)
    assert attackers(found) == "none"


def test_in_words():
    assert attackers(told(**ATTACK, federation__aggregator="krum")) == (
        "6 of 30 clients; the defence tolerates 3 of the 12 in a round (the true number: an oracle): there are "
        "more in 15 % of rounds"
    )
    assert attackers(told(**ATTACK, federation__aggregator="trimmed-mean(f=5)")).endswith(
        "in a round: there are more in 0.16 % of rounds"
    )
    everybody = {**ATTACK, "federation__participation": 1.0, "federation__aggregator": "krum"}
    assert attackers(told(**everybody)).endswith("there are more in no rounds")
    assert attackers(told(**ATTACK, federation__aggregator="median")).endswith(
        "the rule takes no number of attackers"
    )


def test_the_probability_is_that_of_the_round_with_the_most_attackers_among_its_members():
    settings = {
        "poisoning__attack": "sign-flip",
        "poisoning__malicious": [0, 1, 2],
        "federation__clients": 10,
        "federation__rounds": 4,
        "federation__participation": 0.4,
        "federation__aggregator": "trimmed-mean(f=1)",
    }
    assert told(**settings).probability_of_more == pytest.approx(more_than(1, 10, 3, 4))
    late = told(**settings, federation__availability=["3-8: joins(round=3)"])
    assert late.probability_of_more == pytest.approx(more_than(1, 4, 3, 2))
    assert late.population == 10


def test_poisson_sampling_may_draw_any_number_of_attackers(draw):
    poisson = {"federation__sampling": "poisson", "federation__participation": 0.2}
    settings = {**ATTACK, **poisson, "poisoning__malicious": 4, "federation__clients": 10}
    found = told(**settings, federation__aggregator="median")
    drawn = (draw.random((200_000, 4)) < 0.2).sum(1)
    assert found.clients == 1
    assert found.probability_of_more == pytest.approx((drawn > 1).mean(), abs=0.003)
    assert told(**settings, federation__aggregator="median", federation__tolerate_quantile=0.99).clients == 3
