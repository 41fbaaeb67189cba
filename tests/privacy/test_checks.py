"""Promises that would not hold are refused before the first round, with the setting and what to do."""

import pytest

from fedrobust.checks.check import check_data
from fedrobust.config import ConfigError, Experiment
from fedrobust.study import Study

SERVER = "gaussian-dp(clip=1.0, noise-multiplier=1.0)"
ADAPTIVE = "adaptive-gaussian-dp(noise-multiplier=1.0)"
LOCAL = "gaussian-dp(noise-multiplier=1.0, noise='local')"
SHARES = "gaussian-dp(noise-multiplier=1.0, noise='distributed')"
UNIFORM = "mean(weighting='uniform')"


def study(*postprocessors, aggregator=UNIFORM, **settings):
    settings = {"data__samples": 200, "federation__aggregator": aggregator, **settings}
    return Study(Experiment.of(federation__postprocessors=list(postprocessors), **settings))


@pytest.mark.parametrize("mechanism", [SERVER, ADAPTIVE, LOCAL])
def test_a_uniform_mean_is_accepted_with_every_sampling(mechanism):
    for sampling in ("fixed", "poisson"):
        check_data(study(mechanism, federation__participation=0.5, federation__sampling=sampling))
    check_data(study(SHARES, federation__min_replies=1.0))


@pytest.mark.parametrize("rule", ["mean", "mean(weighting='uniform', max_share=0.5)", "median", "krum"])
def test_noise_at_the_server_covers_a_uniform_mean_alone_and_local_noise_any_rule(rule):
    for mechanism in (SERVER, ADAPTIVE, SHARES):
        with pytest.raises(ConfigError, match=r"federation\.aggregator = .*mean\(weighting='uniform'\)"):
            check_data(study(mechanism, aggregator=rule, federation__min_replies=1.0))
    check_data(study(LOCAL, aggregator=rule))


REFUSED = {
    "a mixture before the noise": ((SERVER,), {"federation__pre_aggregators": ["nnm"]}, "pre-aggregators"),
    "losses of clients": ((LOCAL,), {"aggregator": "sfat", "training__recipe": "pgd"}, "training losses"),
    "two promises": ((SERVER, LOCAL), {}, "two promises"),
    "clipping after the noise": ((SERVER, "clip"), {}, "put the differential privacy last"),
    "arrays beside weights": ((SERVER,), {"training__algorithm": "scaffold"}, "sends arrays beside weights"),
    "arrays without a client side": ((ADAPTIVE,), {"training__algorithm": "scaffold"}, "sends arrays"),
    "models of single clients": ((SERVER,), {"distillation__teacher": "clients"}, "global-model"),
    "answers of single clients": (
        (SERVER,),
        {"distillation__teacher": "local-models"},
        "beside what is accounted",
    ),
    "answers to classes": ((SERVER,), {"distillation__teacher": "class-logits"}, "beside what is accounted"),
    "the number of replies": (
        (SERVER,),
        {
            "training__algorithm": "feddyn",
            "federation__sampling": "poisson",
            "federation__participation": 0.5,
        },
        "feddyn.*number of replies",
    ),
    "members that come and go": (
        (SERVER,),
        {"federation__participation": 0.5, "federation__availability": ["0: joins(round=2)"]},
        "federation.availability.*poisson",
    ),
    "missing shares": ((SHARES,), {}, "federation.min-replies = 1"),
    "an unknown number of shares": (
        (SHARES,),
        {
            "federation__min_replies": 1.0,
            "federation__sampling": "poisson",
            "federation__participation": 0.5,
        },
        "share of the noise of a known number",
    ),
    "a delta that means nothing": ((SERVER,), {"privacy__delta": 0.1}, r"privacy\.delta = 0\.1"),
}


@pytest.mark.parametrize(("mechanisms", "settings", "said"), REFUSED.values(), ids=REFUSED)
def test_what_breaks_the_promise_is_refused(mechanisms, settings, said):
    with pytest.raises(ConfigError, match=said):
        check_data(study(*mechanisms, **settings))


def test_counts_with_too_little_noise_are_refused_with_the_setting():
    with pytest.raises(ConfigError, match=r"federation\.postprocessors = .*count_noise = 0\.2"):
        study("adaptive-gaussian-dp(noise-multiplier=1.0, count-noise=0.2)")


def test_a_study_without_a_promise_is_asked_nothing():
    check_data(study("clip(norm=1.0)", aggregator="median", privacy__delta=0.5))


# -- Images ---------------------------------------------------------------------------------------------------------

EXAMPLES = {
    "images that depend on others": ({"data__undersample": True}, "data.undersample"),
    "copies of images": ({"data__augment": 2}, r"data\.augment = 2 .* 3 times"),
    "other recipes": ({"training__recipe": "pgd"}, 'training.recipe = "pgd"'),
    "weights of classes": ({"training__class_weights": "balanced"}, "training.class-weights"),
    "shares of classes": ({"training__loss": "balanced-softmax"}, "balanced-softmax"),
    "mixtures of images": ({"training__augmentations": ["flip", "mixup"]}, "mixup"),
    "mixtures of images, by a name with a space": ({"training__augmentations": [" mixup"]}, "mixup"),
    "steps that are corrected": ({"training__algorithm": "scaffold"}, "corrects steps"),
    "a second training": ({"training__algorithm": "ditto"}, "ditto"),
    "teachers": ({"distillation__teacher": "local-models"}, "local-models"),
    "losses of clients": ({"federation__aggregator": "sfat"}, 'aggregator = "sfat" .*the training losses'),
    "other layers later": (
        {"training__layers": "head", "training__unfreeze": ["2: all"]},
        "training.unfreeze",
    ),
}


@pytest.mark.parametrize(("settings", "said"), EXAMPLES.values(), ids=EXAMPLES)
def test_what_mixes_images_or_trains_beside_the_accounting_is_refused(settings, said):
    settings = {"data__samples": 200, "privacy__example_epsilon": 4.0, **settings}
    with pytest.raises(ConfigError, match=said):
        check_data(Study(Experiment.of(**settings)))


def test_dp_sgd_is_accepted_with_augmentations_and_a_proximal_term():
    settings = {"training__augmentations": ["flip"], "training__algorithm": "fedprox(mu=0.01)"}
    check_data(Study(Experiment.of(data__samples=200, privacy__example_noise=1.0, **settings)))


def test_only_one_setting_says_how_much_noise():
    with pytest.raises(ConfigError, match="each of them sets the noise"):
        Experiment.of(privacy__example_noise=1.0, privacy__example_epsilon=1.0)


def test_clients_that_are_away_do_not_add_their_share_of_the_noise():
    away = {"federation__availability": ["0-7: joins(round=2)"], "federation__min_replies": 1.0}
    check_data(study(SERVER, **away))
    with pytest.raises(ConfigError, match="with each one that is away its share is missing"):
        check_data(study(SHARES, **away))
