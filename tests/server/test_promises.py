"""Promises before the first round: BatchNorm and hopeless noise are refused; the record and the rounds have epsilon."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

from fedrobust.config import ConfigError, Experiment
from fedrobust.engines.grid import SimulatedGrid
from fedrobust.models.layout import Entry, Layout
from fedrobust.privacy import Releases, epsilon_by_pld
from fedrobust.runs.promised import headline, rows_of, told
from fedrobust.runs.record import RunRecord
from fedrobust.study import Study
from server.callbacks import FinishedRound, PrivacySpent
from server.image_promises import ImagePromises
from server.promises import (
    check_absent,
    check_promises,
    privacy_record,
    promised_together,
    repeated_rounds,
)

UNIFORM = "mean(weighting='uniform')"


class Grid(SimulatedGrid):
    """A simulation's grid, of which nothing but its kind is asked."""

    def __init__(self):
        pass


def parts(parameters=100, policy="none", images=(), grid=None, **settings):
    experiment = Experiment.of(data__samples=200, **settings)
    study = Study(experiment)
    layout = Layout((Entry("kernel", (parameters,), "trainable"),))
    promises = ImagePromises(study.dp_sgd, dict(enumerate(images))) if study.dp_sgd else None
    return SimpleNamespace(
        study=study,
        classifier=SimpleNamespace(layout=layout),
        batchnorm_policy=policy,
        image_promises=promises,
        grid=grid or Grid(),
    )


def central(noise=6.0, **settings):
    postprocessors = [f"gaussian-dp(clip=1.0, noise-multiplier={noise})"]
    return {"federation__postprocessors": postprocessors, "federation__aggregator": UNIFORM, **settings}


@pytest.mark.parametrize("policy", ["average", "moments", "shared"])
def test_statistics_of_clients_break_the_promise_and_those_of_the_server_do_not(policy):
    with pytest.raises(ConfigError, match=r"model\.batchnorm-policy = .*head"):
        check_promises(parts(policy=policy, **central()))
    check_promises(parts(policy="recalibrate", **central()))
    check_promises(parts(policy=policy))


def test_noise_that_leaves_nothing_to_learn_is_refused_unless_forced():
    # Ten clients, five rounds: 6 sqrt(d) / 10 / sqrt(5) is 10 at d = 1389.
    check_promises(parts(1380, **central()))
    with pytest.raises(ConfigError, match=r'1,400 parameters: .* training\.layers = "head".* privacy\.force'):
        check_promises(parts(1400, **central()))
    check_promises(parts(1400, **central(privacy__force=True)))


def test_secure_aggregation_is_refused_where_nothing_is_simulated():
    with pytest.raises(ConfigError, match="no cryptography"):
        check_promises(parts(grid=object(), federation__secure_aggregation=True))
    check_promises(parts(federation__secure_aggregation=True))


def test_a_delta_that_one_published_image_would_keep_is_refused():
    with pytest.raises(ConfigError, match=r"privacy\.delta = 0\.001: a client has 1,000 images"):
        check_promises(parts(images=[50, 1000], privacy__example_noise=5.0, federation__rounds=1))
    check_promises(parts(images=[50, 999], privacy__example_noise=5.0, federation__rounds=1))


def test_the_record_holds_both_bounds_and_the_smaller_one_is_the_headline():
    made = privacy_record(parts(**central(), privacy__delta=0.01))
    (one,) = made.promises
    assert one.epsilon == one.epsilon_pld < one.epsilon_rdp
    assert one.epsilon == pytest.approx(epsilon_by_pld(parts(**central()).study.promise.releases, 0.01))
    assert headline(one) == f"epsilon {one.epsilon:.3g} at delta 0.01 for each client, with all of its images"
    assert dict(rows_of(made))["noise"] == "6 times the clipping norm, in the mean of a round"
    assert "BatchNorm" in " ".join(told(made))
    assert privacy_record(parts()) is None


def test_without_noise_nothing_is_promised():
    (one,) = privacy_record(parts(**central(noise=0.0))).promises
    assert (one.epsilon, one.epsilon_rdp, one.epsilon_pld) == (None, None, None)
    assert headline(one).startswith("nothing is promised")


def test_images_of_a_small_client_have_the_largest_epsilon_with_one_noise_for_all():
    made = privacy_record(
        parts(images=[40, 400], privacy__example_noise=4.0, training__batch_size=20, federation__rounds=1)
    )
    (one,) = made.promises
    assert one.unit == "image"
    assert [each.images for each in one.clients] == [40, 400]
    assert one.epsilon == pytest.approx(one.clients[0].epsilon)
    assert one.clients[0].epsilon > one.clients[1].epsilon
    assert one.rate == 0.5
    assert headline(one).endswith("at the client where it is largest")


def test_epsilon_grows_by_round_to_that_of_the_study():
    promise = parts(**central()).study.promise
    spent = PrivacySpent(promise, 0.01, 5)
    by_round = [spent(FinishedRound(number, None, None))["epsilon"] for number in range(1, 6)]
    assert by_round == sorted(by_round)
    assert by_round[-1] == pytest.approx(promise.spent(0.01)[1], rel=0.01)
    assert PrivacySpent(None, 0.01)(FinishedRound(1, None, None)) == {}
    silent = parts(**central(noise=0.0)).study.promise
    assert math.isinf(silent.spent_after(1, 0.01))
    assert PrivacySpent(silent, 0.01)(FinishedRound(1, None, None)) == {}


@pytest.mark.parametrize(
    ("mechanism", "settings", "message"),
    [
        ("noise='distributed', ", {"federation__min_replies": 1.0}, "shares of the noise are missing"),
        ("", {"federation__participation": 0.1}, "sampling without replacement is accounted for 10"),
    ],
)
def test_sites_that_are_not_connected_break_what_is_accounted(mechanism, settings, message):
    given = {
        **central(),
        "federation__postprocessors": [f"gaussian-dp({mechanism}clip=1.0, noise-multiplier=6)"],
        "privacy__force": True,
        **settings,
    }
    study = parts(**given).study
    check_absent(study.promise, study.experiment.federation, 10)
    with pytest.raises(ConfigError, match=rf"with 4 of 10 clients connected: .*{message}.*clients = 4"):
        check_absent(study.promise, study.experiment.federation, 4)


def test_images_of_sites_that_come_and_go_over_a_resumption_are_all_promised():
    def promised(images):
        images = [images.get(client, 0) for client in range(3)]
        made = parts(images=images, privacy__example_noise=4.0, training__batch_size=20, federation__rounds=2)
        made.image_promises = ImagePromises(
            made.study.dp_sgd, {client: count for client, count in enumerate(images) if count}
        )
        return privacy_record(made)

    before, now, both = promised({0: 400, 1: 40}), promised({0: 400, 2: 60}), promised({0: 400, 1: 40, 2: 60})
    assert promised_together(before, now) == both
    assert promised_together(now, before) == both
    assert both.promises[0].epsilon == before.promises[0].epsilon > now.promises[0].epsilon
    assert promised_together(before, promised({0: 300, 1: 40})).promises[0].clients[0].images == 300
    assert promised_together(None, None) is None


def test_a_round_that_sites_trained_twice_counts_twice():
    settings = {"training__batch_size": 20, "federation__rounds": 2, "privacy__example_noise": 4.0}
    made = parts(images=[40, 400], **settings)
    once, twice = privacy_record(made), privacy_record(made, repeated=1)
    assert (once.promises[0].releases, twice.promises[0].releases) == (4, 6)
    (one,) = twice.promises
    assert one.epsilon == pytest.approx(epsilon_by_pld(Releases(4.0, 6, "poisson", 0.5), 1e-3), rel=1e-3)
    assert all(
        new.epsilon > old.epsilon for new, old in zip(one.clients, once.promises[0].clients, strict=True)
    )
    assert promised_together(once, twice) == twice
    clients = parts(**central())
    assert privacy_record(clients, repeated=2).promises[0].releases == 7
    assert promised_together(privacy_record(clients), privacy_record(clients, 2)) == privacy_record(
        clients, 2
    )


def test_rounds_are_repeated_at_sites_alone_and_before_the_last():
    run = RunRecord(experiment={"federation": {"rounds": 5}}, resumed_after=(0, 3, 3, 5))
    assert repeated_rounds(run) == 0
    assert repeated_rounds(replace(run, sites=())) == 3


def test_epsilon_by_round_goes_on_from_what_was_spent_and_counts_repeated_rounds():
    promise = parts(**central()).study.promise
    fresh, again = PrivacySpent(promise, 0.01, 5), PrivacySpent(promise, 0.01, 5, repeated=1)
    third = FinishedRound(3, None, None)
    assert again(third) == fresh(FinishedRound(4, None, None))
    left = PrivacySpent(promise, 0.01, 5, before=99.0)
    assert left(third) == {"epsilon": 99.0}


def test_promises_to_clients_are_those_of_before():
    record = privacy_record(parts(**central()))
    assert promised_together(record, record) == record
