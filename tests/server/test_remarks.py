"""What a user is told of the poisoning attack before the first round."""

import pytest

from fedrobust.config import Experiment
from fedrobust.study import Study
from server.parts import ServerParts
from server.unused_statistics import statistics_remarks


def remarks(**settings):
    study = Study(Experiment.of(**{"federation__clients": 10, **settings}))
    return ServerParts(study, grid=None, pool=None).remarks()


def test_a_user_is_told_before_the_first_round():
    (weak,) = remarks(poisoning__attack="alie", poisoning__malicious=1)
    assert "n = 10, m = 1 has z = -0.14: it helps the server" in weak
    assert remarks(poisoning__attack="alie", poisoning__malicious=4) == []
    assert remarks() == []
    (sampled,) = remarks(
        poisoning__attack="model-replacement", poisoning__malicious=4, federation__participation=0.5
    )
    assert "5 clients of a round over 2.33 malicious ones" in sampled


@pytest.mark.parametrize(
    ("attack", "policy", "said"),
    [
        ("model-replacement", "auto", True),
        ("zero(statistics='same')", "recalibrate", True),
        ("model-replacement", "moments", False),
        ("model-replacement", "average", False),
        ("model-replacement(statistics='honest')", "recalibrate", False),
        ("sign-flip", "recalibrate", False),
    ],
)
def test_a_user_is_told_that_poisoned_statistics_are_measured_anew_on_clean_images(attack, policy, said):
    experiment = Experiment.quickstart(
        poisoning__attack=attack, poisoning__malicious=3, model__batchnorm_policy=policy
    )
    parts = ServerParts(Study(experiment), grid=None, pool=None)
    told = statistics_remarks(parts)
    assert len(told) == said
    assert all(
        f'poisoning.attack = "{attack}"' in one and "validation images, which are clean" in one
        for one in told
    )


def test_of_a_model_without_statistics_there_is_nothing_to_say():
    experiment = Experiment.quickstart(
        poisoning__attack="model-replacement",
        poisoning__malicious=3,
        model__normalization="group",
        model__batchnorm_policy="auto",
    )
    assert statistics_remarks(ServerParts(Study(experiment), grid=None, pool=None)) == []
