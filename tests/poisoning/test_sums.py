"""Sums of attacks: refused, or every part of them changes what is sent."""

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import pytest

from fedrobust.aggregation import Updates
from fedrobust.data.dataset import Split
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.poisoning import (
    POISONING,
    Attack,
    AttackContext,
    AttackerTools,
    AttackMemory,
    CollusionContext,
)
from fedrobust.poisoning.contract import name_of
from fedrobust.spec import SpecError

VARIANTS = (
    "alie(hide=True, z=1.5)",
    "free-rider(noise=0.1)",
    "label-flip(kind='targeted')",
    "not-finite(share=0.5)",
    "norm-bound(norm=0.4)",
)
ATTACKS = (*POISONING, *VARIANTS)
RNG = np.random.default_rng(5)
IMAGES = RNG.integers(0, 256, (24, 8, 8, 1)).astype(np.uint8)
LABELS = np.repeat(np.arange(3), 8).astype(np.int32)
HONEST = (0.3 + RNG.standard_normal((4, 192))).astype(np.float32) / 20
CURRENT = RNG.standard_normal(192).astype(np.float32)
STATISTICS = np.abs(RNG.standard_normal(6)).astype(np.float32)
START = Weights(CURRENT, STATISTICS)


def perturb(images, labels, *, steps, ascend, **_):
    return np.clip(images.astype(int) + (7 if ascend else -7) + steps, 0, 255).astype(np.uint8)


def learnt(images, labels, recipe, length):
    """Return an update that depends on every image, every label and the recipe: a linear model's gradient."""
    targets = np.eye(3)[labels] - 1 / 3
    gradient = (targets.T @ (images.reshape(len(images), -1) / 255.0 - 0.5) / len(images)).ravel()
    return (length * gradient * (1 + 0.1 * len(str(recipe)))).astype(np.float32)


def tools(attack, length):
    """Return local updates that add `learnt`, and functions of a linear model."""
    recipe = dict(attack.training(AttackContext()))

    def update(start, split, trained=None, epochs=1, **changed):
        step = learnt(split.images, split.labels, recipe | changed, length * (epochs or 1))
        return Weights(start.trainable + step * (1 if trained is None else trained), start.statistics)

    def logits(weights, images):
        return images.reshape(len(images), -1) / 255.0 @ weights.trainable.reshape(64, 3)

    def gradients(weights, images, labels):
        kernel = weights.trainable.reshape(64, 3)
        p = np.exp(images.reshape(len(images), -1) @ kernel)
        return ((p / p.sum(1, keepdims=True) - np.eye(3)[labels]) @ kernel.T).reshape(images.shape)

    clean = Split(IMAGES, LABELS)
    return AttackerTools(clean, clean, update, logits, gradients, lambda weights: float(weights.trainable[0]))


def sent(attack):
    """Return all that a malicious client sends where updates are short, and where they are long."""
    return np.concatenate([sent_after(attack, length) for length in (1, 10)])


def sent_after(attack, length):
    """Return its update, its statistics and its claims."""
    context = AttackContext(
        classes=3,
        clients=6,
        malicious=2,
        fixed=np.random.default_rng(1),
        generator=np.random.default_rng(2),
        current=CURRENT,
        statistics=STATISTICS,
        perturb=perturb,
        memory=AttackMemory(1, 0.9 * CURRENT, HONEST[0]),
        layout=Layout(
            (Entry("hidden/kernel", (16, 8), "trainable"), Entry("logits/kernel", (8, 8), "trainable"))
        ),
        tools=tools(attack, length),
    )
    context = attack.prepared(context)
    update, statistics = np.zeros(192, np.float32), STATISTICS
    if attack.trains:
        images, labels = attack.data(IMAGES, LABELS, context)
        update = learnt(images, labels, dict(attack.training(context)), length)
        if attack.guides:
            poisoned = replace(context.tools, poisoned=Split(images, labels))
            update = attack.train(START, replace(context, tools=poisoned)).trainable - CURRENT
        statistics = STATISTICS * np.float32(1.01)
    update = attack.update(update, context)
    statistics = attack.statistics(statistics, replace(context, generator=np.random.default_rng(3)))
    if attack.colludes:
        own = Updates.of(np.stack([update, update]))

        def outcome(everybody):
            return np.concatenate([HONEST, np.broadcast_to(everybody, (2, 192))]).mean(0)

        update = np.broadcast_to(
            attack.collude(
                Updates.of(HONEST), CollusionContext(own, 6, 2, np.random.default_rng(4), outcome)
            ),
            (2, 192),
        )
    claims = [attack.claim(24), attack.claimed_loss(0.7)]
    return np.concatenate([update.ravel()[:192], statistics, claims])


def accepted_and_refused():
    accepted, refused = [], {}
    for pair in permutations(ATTACKS, 2):
        try:
            accepted.append((pair, Attack.parse(" + ".join(pair))))
        except SpecError as error:
            refused[pair] = str(error)
    return accepted, refused


def test_both_parts_of_every_sum_change_what_is_sent():
    accepted, _ = accepted_and_refused()
    assert len(accepted) > 150
    for pair, attack in accepted:
        both = sent(attack)
        for part in attack.parts:
            assert not np.array_equal(both, sent(Attack((part,))), equal_nan=True), (
                f"{pair}: one part does nothing"
            )


def test_what_is_refused_names_both_parts_and_the_reason():
    _, refused = accepted_and_refused()
    assert len(refused) > 150
    for pair, message in refused.items():
        assert all(name.partition("(")[0] in message for name in pair), message
        assert message.endswith("choose one of them")


COALITIONS = "each replaces the updates of all malicious clients"
GOALS = "each has a target of its own, and success is measured for one only"


def unsent(colluder, other):
    return f"{colluder} computes its updates from the honest clients', so that {other} has no effect"


def refused_with(other):
    return f"the server refuses what not-finite sends, so that {other} has no effect"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ipm + alie", COALITIONS),
        ("min-max + min-sum", COALITIONS),
        ("alie + scaling", unsent("alie", "scaling")),
        ("pixel-backdoor + fang-krum", unsent("fang-krum", "pixel-backdoor")),
        ("free-rider + mimic", unsent("mimic", "free-rider")),
        ("standard-training + ipm", unsent("ipm", "standard-training")),
        ("free-rider + label-flip", "free-rider does not train, so that label-flip has no effect"),
        ("standard-training + zero", "zero does not train, so that standard-training has no effect"),
        (
            "label-flip + gaussian",
            "gaussian discards the trained weights, so that label-flip has no effect",
        ),
        ("edge-case + not-finite", refused_with("edge-case")),
        ("scaling + zero", "zero ignores the update of scaling"),
        ("not-finite + sign-flip", refused_with("sign-flip")),
        ("inflated-claim + not-finite", refused_with("inflated-claim")),
        ("not-finite + alie(hide=True)", refused_with("alie")),
        ("free-rider + norm-bound", "norm-bound has no effect on the update of free-rider"),
        ("fgsm-training + standard-training", "each changes how malicious clients train"),
        ("pixel-backdoor + blended-backdoor", GOALS),
        ("edge-case + label-flip(kind='targeted')", GOALS),
        ("sign-flip + sign-flip", "it is the same attack twice"),
    ],
)
def test_sums_that_cannot_be_are_refused(text, reason):
    with pytest.raises(SpecError) as refused:
        Attack.parse(text)
    pair = " + ".join(name.partition("(")[0] for name in text.split(" + "))
    assert str(refused.value) == f'"{pair}": {reason}; choose one of them'


def test_parts_that_do_not_follow_each_other_are_looked_at_too():
    with pytest.raises(SpecError, match=r'^"label-flip [+] label-flip": it is the same attack twice;'):
        Attack.parse("label-flip + scaling + label-flip")


@pytest.mark.parametrize(
    "text",
    [
        "pixel-backdoor + model-replacement + norm-bound(norm=2.0)",
        "standard-training + model-replacement",
        "alie + inflated-claim",
        "free-rider(noise=0.1) + scaling",
        "zero + sign-flip",
        "label-flip + edge-case",
        "fgsm-images + standard-training",
    ],
)
def test_sums_of_the_literature_are_taken(text):
    assert Attack.parse(text)


def test_python_is_refused_what_a_file_is():
    one, other = Attack.parse("ipm").parts + Attack.parse("alie").parts
    with pytest.raises(SpecError, match=r'"ipm [+] alie"'):
        Attack((one, other))


class Hides:
    """An attack of one's own that builds on what its members have learnt."""

    uses_own = True

    def collude(self, honest, context):
        """Return what the members learnt, within the honest range."""
        return np.clip(np.asarray(context.own), np.asarray(honest).min(0), np.asarray(honest).max(0))


def test_a_coalition_that_builds_on_own_updates_can_be_added_to():
    backdoor = Attack.parse("pixel-backdoor").parts
    assert name_of(Hides()) == "Hides"
    both = sent(Attack((*backdoor, Hides())))
    assert not np.array_equal(both, sent(Attack((Hides(),))))
    assert not np.array_equal(both, sent(Attack(backdoor)))


class HidesUntrained(Hides):
    """The same, of members that do not train: what they would learn from is never read."""

    trains = False


@pytest.mark.parametrize(
    ("former", "present"),
    [
        ("coalition", "collude"),
        ("goal", "criterion"),
        ("aims", "targeted"),
        ("untaught", "discards_training"),
    ],
)
def test_a_former_name_beside_a_present_one_is_refused(former, present):
    """Nothing would call it: the study would report an attack that did not act."""
    kind = type("Mine", (), {"update": lambda self, update, context: -update, former: lambda self: None})
    with pytest.raises(SpecError) as refused:
        Attack((kind(),))
    assert str(refused.value) == f"Mine: `{former}` has no effect: it is called `{present}` now; rename it"


@dataclass(frozen=True)
class Aimed:
    """An attack with a setting that is called as a method once was."""

    goal: int = 0

    def update(self, update, context):
        """Return the update turned round."""
        return -update


def test_a_setting_may_have_a_former_name():
    assert Attack((Aimed(),)).update(np.ones(2, np.float32), AttackContext()).tolist() == [-1, -1]


def test_who_does_not_train_learns_nothing_in_a_coalition_either():
    message = (
        '"label-flip [+] HidesUntrained": HidesUntrained does not train, so that label-flip has no effect'
    )
    with pytest.raises(SpecError, match=message):
        Attack((*Attack.parse("label-flip").parts, HidesUntrained()))
    assert Attack((*Attack.parse("inflated-claim").parts, HidesUntrained()))
