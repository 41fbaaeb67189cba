"""PoisonedFL, against its paper's formulas and the constants of its official code."""

from dataclasses import replace

import numpy as np
import pytest

from fedrobust.poisoning import Attack, AttackContext, AttackMemory
from fedrobust.poisoning.update.poisonedfl import quantile, signs

OFFICIAL = [(1_204_682, 603_618), (139_960, 70_415), (717_924, 359_948), (145_212, 73_049)]
"""Numbers of parameters, and the 99 % quantile that the official code has for each."""


@pytest.mark.parametrize(("size", "expected"), OFFICIAL)
def test_the_quantile_is_that_of_the_official_code(size, expected):
    assert np.ceil(quantile(size)) == pytest.approx(expected, abs=1)


def transcribed(g, m, s, c):
    """Return c |g| v * s with v of the paper, one number after the other."""
    norm = sum(x * x for x in g) ** 0.5
    own = sum(x * x for x in m) ** 0.5
    raw = [abs(x - y * norm / own) if own else abs(x) for x, y in zip(g, m, strict=True)]
    length = sum(x * x for x in raw) ** 0.5
    return [c * norm * x / length * sign for x, sign in zip(raw, s, strict=True)]


@pytest.mark.parametrize("size", [2, 7, 60])
@pytest.mark.parametrize("quiet", [False, True])
def test_updates_are_the_papers(draw, size, quiet):
    before, now, own = draw.standard_normal((3, size)).astype(np.float32)
    own = own * (not quiet)
    context = AttackContext(seed=5, round=4, current=now, memory=AttackMemory(3, before, own))
    attack = Attack.parse("poisonedfl(strength=3.0)")
    sent = attack.update(np.zeros(size, np.float32), attack.prepared(context))
    expected = transcribed((now - before).tolist(), own.tolist(), signs(5, size), 3.0)
    np.testing.assert_allclose(sent, expected, rtol=1e-4, atol=1e-6)
    assert np.linalg.norm(sent) == pytest.approx(3 * np.linalg.norm(now - before), rel=1e-5)
    assert (np.sign(sent[sent != 0]) == signs(5, size)[sent != 0]).all()


def test_without_a_last_change_nothing_is_sent():
    attack, size = Attack.parse("poisonedfl"), 6
    first = attack.prepared(AttackContext(current=np.ones(size, np.float32)))
    assert not attack.update(np.zeros(size, np.float32), first).any()
    still = replace(first, memory=AttackMemory(1, np.ones(size, np.float32), np.zeros(size, np.float32)))
    assert not attack.update(np.zeros(size, np.float32), attack.prepared(still)).any(), "nothing has moved"


def test_all_attackers_of_a_study_share_the_signs_and_another_study_has_others():
    assert signs(1, 500).tolist() == signs(1, 500).tolist()
    assert 150 < (signs(1, 500) != signs(2, 500)).sum() < 350
    assert set(signs(1, 500)) == {-1.0, 1.0}


def rounds(attack, weights_of, count):
    """Return the strength c in each of `count` rounds, whose global weights are ``weights_of(round)``."""
    memory, found = AttackMemory(), []
    for round in range(1, count + 1):
        weights = weights_of(round)
        context = attack.prepared(AttackContext(round=round, current=weights, memory=memory))
        update = attack.update(np.zeros_like(weights), context)
        memory = AttackMemory.of(attack.kept(context, weights, update).arrays())
        found.append(float(memory.own["strength"][0]))
    return found


def test_strength_falls_after_a_window_without_effect_and_stays_after_one_with_it(draw):
    attack = Attack.parse("poisonedfl(window=4)")
    noise = draw.standard_normal((12, 400)).astype(np.float32)
    assert rounds(attack, lambda round: noise[round - 1], 10) == pytest.approx(
        [8.0] * 4 + [5.6] * 4 + [3.92] * 2
    )
    pushed = signs(0, 400).astype(np.float32)
    assert rounds(attack, lambda round: round * pushed, 10) == [8.0] * 10
    assert rounds(attack, lambda round: -round * pushed, 10)[-1] == pytest.approx(3.92)


def test_strength_has_a_least(draw):
    noise = draw.standard_normal((40, 300)).astype(np.float32)
    found = rounds(Attack.parse("poisonedfl(window=1)"), lambda round: noise[round - 1], 30)
    assert min(found) == found[-1] == pytest.approx(8 * 0.7**7)
    assert found[-1] * 0.7 < 0.5 <= found[-1]


def test_weights_that_never_change_do_not_count():
    moved = np.concatenate([signs(0, 400)[:100], np.zeros(300)]).astype(np.float32)
    assert rounds(Attack.parse("poisonedfl(window=2)"), lambda round: round * moved, 6) == [8.0] * 6


def test_a_mean_with_one_attacker_of_five_goes_where_the_signs_point(draw):
    """Twenty rounds on f(w) = |w - 1|^2 / 2: without the attacker the weights reach 1."""
    attack, size, s = Attack.parse("poisonedfl"), 300, signs(0, 300)
    for attacked in (False, True):
        weights, memory = np.zeros(size, np.float32), AttackMemory()
        for round in range(1, 21):
            honest = 0.3 * (1 - weights) + draw.standard_normal((4, size)).astype(np.float32) * 0.01
            context = attack.prepared(AttackContext(round=round, current=weights, memory=memory))
            update = attack.update(np.zeros(size, np.float32), context)
            memory = attack.kept(context, weights, update)
            weights = weights + np.concatenate([honest, [update if attacked else honest[0]]]).mean(0)
        agreeing = (np.sign(weights - 1) == s).mean()
        assert (agreeing > 0.9) == attacked
        assert (np.linalg.norm(weights - 1) < 1) != attacked
