"""When images are too few, what of a lead is kept, and which threats are none."""

import numpy as np
import pytest

from fedrobust.audit import Outcome, Plan, Weight
from fedrobust.audit.checks.behaviour import KEPT, enough_images, keeps_its_lead
from fedrobust.audit.collapse import too_few
from fedrobust.audit.lead import Lead
from fedrobust.config import ConfigError
from fedrobust.evasion import Threat


class AttackSuite:
    def __init__(self, labels, right, standing):
        self.standing = standing

        class AttackCache:
            audited = None

        class ModelUnderAudit:
            def __len__(self):
                return len(labels)

        AttackCache.audited = ModelUnderAudit()
        AttackCache.audited.labels = labels
        AttackCache.right = right
        self.cache = AttackCache()


def search(n, right, standing):
    """Two classes of n images each, of which so many are right and stand."""
    place = np.arange(2 * n) % n
    return AttackSuite(np.repeat([0, 1], n), place < right, place < standing)


def test_a_lead_is_decided_on_its_interval():
    kept = keeps_its_lead(search(300, 280, 275))
    assert (kept.outcome, kept.weight) == (Outcome.PASSED, Weight.NOT_ROBUST)
    lost = keeps_its_lead(search(300, 280, 180))
    assert (lost.outcome, lost.weight) == (Outcome.FAILED, Weight.NOT_ROBUST)
    assert lost.details["interval"][1] < KEPT
    # The same share of few images tells nothing either way.
    unsure = keeps_its_lead(search(30, 28, 24))
    low, high = unsure.details["interval"]
    assert low < KEPT <= high
    assert (unsure.outcome, unsure.weight) == (Outcome.FAILED, Weight.NOT_PROVEN)
    assert "too few to tell" in unsure.sentence


def test_a_last_bit_decides_nothing():
    """Three quarters, as 0.7499999999999998 or 0.75: the same verdict."""
    one, other = keeps_its_lead(search(300, 200, 185)), keeps_its_lead(search(300, 200, 186))
    assert one.details["kept"] < other.details["kept"]
    assert (one.outcome, one.weight) == (other.outcome, other.weight)


def test_the_interval_of_the_kept_lead_covers():
    """Simulated: a model right on 85 % of two classes, of which an attack leaves nine in ten."""
    draw = np.random.default_rng(0)
    labels = np.repeat([0, 1], [234, 390])
    truth, hits = (0.85 * 0.9 - 0.5) / (0.85 - 0.5), 0
    for _ in range(400):
        right = draw.random(len(labels)) < 0.85
        standing = right & (draw.random(len(labels)) < 0.9)
        low, high = Lead.of(labels, right, standing).interval
        hits += low <= truth <= high
    assert 0.92 <= hits / 400 <= 0.985


def test_a_lead_that_is_all_kept_or_all_lost():
    labels = np.repeat([0, 1], 100)
    every = np.ones(200, bool)
    whole = Lead.of(labels, every, every)
    assert whole.kept == 1.0
    assert 0.9 < whole.interval[0] < whole.interval[1] == 1.0
    gone = Lead.of(labels, every, labels == 0)
    assert gone.kept == 0.0
    assert gone.interval[0] == 0.0
    # Every answer wrong is more than the whole lead.
    assert Lead.of(labels, every, ~every).interval == (0.0, 0.0)
    # Without a lead there is nothing to keep, and no interval.
    assert Lead.of(labels, labels == 0, labels == 0).interval == (0.0, 1.0)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([0] * 50, "of one class"),
        ([0, 1] * 14, "at least 30"),
        ([0] * 96 + [1] * 4, "but for 4 images"),
        ([0] * 95 + [1] * 5, ""),
        ([0] * 500 + [1] * 30 + [2], ""),
    ],
)
def test_too_few_images_conclude_nothing(labels, reason):
    labels = np.array(labels)
    assert reason in too_few(labels)
    assert bool(too_few(labels)) == bool(reason)
    found = enough_images(AttackSuite(labels, labels >= 0, labels >= 0))
    assert found.failed == bool(reason)
    assert found.weight is Weight.NOT_PROVEN
    if reason:
        assert keeps_its_lead(AttackSuite(labels, labels >= 0, labels < 0)).outcome is Outcome.NOT_APPLICABLE


def test_a_threat_below_one_grey_level_is_none():
    eight = Threat(bits=8)
    with pytest.raises(ConfigError, match="at least 1/255"):
        Plan(epsilon=0.001, threat=eight)
    assert Plan(epsilon="1/255", threat=eight).curve[0] == "1/255"
    assert Plan(epsilon=0.001).value == 0.001


def test_quick_asks_less_than_standard_and_that_less_than_full():
    asked = [dict(Plan(effort=effort).black_box("linf")) for effort in ("quick", "standard", "full")]
    assert [name.split("(")[0] for name in asked[0]] == ["noise", "radial-probes", "square"]
    assert not any("hop-skip-jump" in name for name in asked[0])
    assert asked[1]["hop-skip-jump(queries=1000)"] < asked[2]["hop-skip-jump(queries=4000)"]
