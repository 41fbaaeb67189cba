"""How hard an audit tries, by effort and norm, and which settings are refused."""

import math

import pytest

from fedrobust.audit.plan import CURVES, SHORT, Plan
from fedrobust.config import ConfigError
from fedrobust.epsilon import epsilon_value
from fedrobust.evasion import Threat


@pytest.mark.parametrize(
    ("effort", "pgd_steps", "draws", "steps", "queries"),
    [("quick", 10, 2, 20, 150), ("standard", 20, 8, 50, 1000), ("full", 40, 16, 100, 5000)],
)
def test_steps_draws_and_queries_grow_with_the_effort(effort, pgd_steps, draws, steps, queries):
    plan = Plan(effort=effort)
    assert (plan.pgd_steps, plan.draws, plan.steps, plan.queries) == (pgd_steps, draws, steps, queries)
    assert plan.black_box("linf")[:3] == [
        ("noise", 0),
        ("radial-probes", 0),
        (f"square(queries={queries})", 0),
    ]


def test_what_only_asks_is_dear_and_turns_to_a_few_images():
    assert len(Plan(effort="quick").black_box("linf")) == 3
    assert Plan().black_box("linf")[3:] == [
        ("hop-skip-jump(queries=1000)", 64),
        ("spsa(steps=20)", 64),
        ("square(queries=5000)", 16),
    ]
    assert Plan(effort="full").black_box("l2")[3:] == [
        ("hop-skip-jump(queries=4000)", 256),
        ("spsa(steps=80)", 256),
    ]


def test_pgd_takes_equal_steps_only_in_a_quick_look():
    assert Plan(effort="quick").pgd(10) == "pgd(steps=10, step_size=0.25)"
    assert Plan(effort="quick").pgd(20, "restarts=6", "loss='margin'") == (
        "pgd(steps=20, step_size=0.125, restarts=6, loss='margin')"
    )
    assert Plan(effort="full").pgd(40, "restarts=6") == "pgd(steps=40, restarts=6)"


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", "2/255"), ("l2", 0.5), ("l0", 5)])
def test_the_curve_is_the_norms_usual_one(norm, epsilon):
    threat = Threat(norm=norm)
    assert Plan(epsilon=epsilon, threat=threat, effort="quick").curve == SHORT[norm]
    for effort in ("standard", "full"):
        found = Plan(epsilon=epsilon, threat=threat, effort=effort).curve
        assert found == tuple(sorted(CURVES[norm], key=epsilon_value)), "in the order of their values"


def test_the_epsilon_of_the_verdict_is_on_the_curve_in_its_place_once():
    plan = Plan(epsilon="3/255", effort="quick")
    assert plan.curve == ("0.5/255", "1/255", "2/255", "3/255", "4/255", "8/255")
    assert plan.values == tuple(part / 255 for part in (0.5, 1, 2, 3, 4, 8))
    assert plan.value == 3 / 255
    assert Plan(epsilon=0.02, curve=(0.03, 0.01, 0.03)).curve == (0.01, 0.02, 0.03)
    assert Plan(epsilon=0.02, curve=("0.02", 0.01)).curve == (0.01, "0.02"), "as it was written on the curve"


def test_files_hold_no_change_of_less_than_a_grey_level():
    eight = Threat(bits=8)
    assert Plan(threat=eight, effort="quick").curve == ("1/255", "2/255", "4/255", "8/255")
    assert Plan(epsilon=1 / 255, threat=eight).value == 1 / 255
    with pytest.raises(ConfigError) as refused:
        Plan(epsilon="0.9/255", threat=eight)
    assert str(refused.value) == (
        "epsilon = 0.9/255 with bits = 8: no other 8-bit image lies within; choose at least 1/255, one grey level, or "
        "bits = 0"
    )


def test_settings_that_are_none_are_refused():
    with pytest.raises(ConfigError, match=r"^effort = 'hard': choose quick, standard or full$"):
        Plan(effort="hard")
    for epsilon in (0, -0.01):
        with pytest.raises(ConfigError, match=rf"^epsilon = {epsilon}: choose a number above 0$"):
            Plan(epsilon=epsilon)


@pytest.mark.parametrize(("norm", "large"), [("linf", 0.5), ("l2", 0.5 * math.sqrt(24))])
def test_the_largest_epsilon_makes_every_pixel_grey(norm, large):
    assert Plan(epsilon=0.5, threat=Threat(norm=norm)).large((4, 2, 3)) == large
