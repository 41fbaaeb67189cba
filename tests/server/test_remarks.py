"""What a user is told of the poisoning attack before the first round."""

from fedrobust.config import Experiment
from fedrobust.study import Study
from server.parts import ServerParts


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
