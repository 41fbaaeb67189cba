"""Every attack where there is little to attack: few clients, few images, no spread, numbers at the edge of float32."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from fedrobust.aggregation import Updates
from fedrobust.data.dataset import Split
from fedrobust.poisoning import POISONING, Attack, AttackContext, AttackMemory, CollusionContext
from fedrobust.poisoning.update.finite import scaled
from fedrobust.poisoning.update.free_rider import FreeRider

LARGEST = float(np.finfo(np.float32).max)


def having(trait):
    return [name for name in POISONING if hasattr(POISONING[name](), trait)]


def perturb(images, labels, **how):
    assert len(images) == len(labels)
    return images ^ 1


@pytest.mark.parametrize("name", having("update"))
@pytest.mark.parametrize("size", [0.0, 1e-45, 1e-38, 1.0, 1e30, LARGEST])
def test_updates_of_every_magnitude_stay_finite(name, size):
    update = np.array([1, -1, 0.5, 0], np.float32) * np.float32(size)
    context = AttackContext(
        clients=50,
        malicious=1,
        current=np.full(4, 0.1, np.float32),
        generator=np.random.default_rng(0),
        memory=AttackMemory(1, update[::-1].copy(), update),
    )
    for text in (name, f"{name} + model-replacement" if name in ("sign-flip", "gaussian", "zero") else name):
        sent = Attack.parse(text).update(update, context)
        assert sent.dtype == np.float32
        assert sent.shape == (4,)
        assert np.isfinite(sent).all() or name == "not-finite"


def test_overshooting_sends_the_largest_number_with_its_sign():
    assert scaled(np.ones(2, np.float32), 0.1).dtype == np.float32
    update = np.array([1e38, -1e38, 1.0], np.float32)
    sent = Attack.parse("scaling(factor=100)").update(update, AttackContext())
    np.testing.assert_array_equal(sent, np.array([LARGEST, -LARGEST, 100], np.float32))
    sent = Attack.parse("sign-flip(scale=100)").update(update, AttackContext())
    np.testing.assert_array_equal(sent, np.array([-LARGEST, LARGEST, -100], np.float32))


@pytest.mark.parametrize("name", having("collude"))
@pytest.mark.parametrize("kind", ["spread", "identical", "zero", "tiny", "huge"])
def test_coalitions_among_few_clients_and_without_spread(name, kind):
    for honest, malicious in product([1, 2, 5], [1, 2, 4]):
        among_few_clients(name, honest, malicious, kind)


def among_few_clients(name, honest, malicious, kind):
    rows = np.random.default_rng(3).standard_normal((honest, 30)).astype(np.float32)
    rows = {
        "spread": rows,
        "identical": np.repeat(rows[:1], honest, 0),
        "zero": np.zeros_like(rows),
        "tiny": rows * np.float32(1e-30),
        "huge": rows * np.float32(1e30),
    }[kind]
    sent = conspired(name, rows, malicious)
    assert not np.isnan(sent).any(), (honest, malicious)
    if kind == "identical" and name in ("alie", "min-max", "min-sum", "mimic"):
        np.testing.assert_allclose(np.broadcast_to(sent, (malicious, 30))[0], rows[0], rtol=1e-4, atol=1e-6)


def conspired(name, rows, malicious):
    honest = Updates.of(rows)

    def outcome(update):
        everybody = np.concatenate([np.broadcast_to(update, (malicious, rows.shape[1])), rows])
        return np.median(everybody.astype(np.float64), 0)

    n = len(rows) + malicious
    context = CollusionContext(Updates.of(rows[:1]), n, malicious, np.random.default_rng(0), outcome)
    context = replace(context, own=Updates.of(np.repeat(rows[:1], malicious, 0)))
    sent = Attack.parse(name).collude(honest, context)
    assert sent.shape in ((rows.shape[1],), (malicious, rows.shape[1]))
    return sent


@pytest.mark.parametrize("name", having("collude"))
def test_a_round_of_malicious_clients_alone_goes_on_from_what_they_learnt(name):
    own = np.random.default_rng(3).standard_normal((4, 30)).astype(np.float32)

    def mean_of(sent):
        return np.atleast_2d(sent).mean(0)

    context = CollusionContext(Updates.of(own), 4, 4, np.random.default_rng(0), mean_of)
    assert np.isfinite(Attack.parse(name).collude(Updates.of(own), context)).all()


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e12, 1e30])
@pytest.mark.parametrize("direction", ["deviation", "mean", "sign"])
@pytest.mark.parametrize("name", ["min-max", "min-sum"])
def test_as_far_as_the_honest_spread_lets_one_at_every_scale(name, direction, scale, draw):
    rows = ((0.5 + draw.standard_normal((7, 50))) * scale).astype(np.float32)
    sent = conspired(f"{name}(direction='{direction}')", rows, 2).astype(np.float64) / scale
    exact = rows.astype(np.float64) / scale
    among = ((exact[:, None] - exact[None]) ** 2).sum(-1)
    apart = ((sent - exact) ** 2).sum(1)
    if name == "min-max":
        assert apart.max() == pytest.approx(among.max(), rel=1e-4)
    else:
        assert apart.sum() == pytest.approx(among.sum(1).max(), rel=1e-4)


SHARDS = {
    "empty": (0, []),
    "one": (1, [1]),
    "one class": (6, [0] * 6),
    "target only": (5, [1] * 5),
    "all classes": (9, [0, 1, 2] * 3),
}


@pytest.mark.parametrize("name", having("data"))
@pytest.mark.parametrize("shard", SHARDS)
def test_shards_of_every_kind_can_be_poisoned(name, shard):
    for channels, share in product([1, 3], [0.0, 1e-9, 0.5, 1.0]):
        can_be_poisoned(name, shard, channels, share)


def can_be_poisoned(name, shard, channels, share):
    count, labels = SHARDS[shard]
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 28, channels)).astype(np.uint8)
    labels = np.array(labels, np.int32)
    before = images.copy(), labels.copy()
    part = type(Attack.parse(name).parts[0])(share=share)
    shown, called = Attack((part,)).data(images, labels, AttackContext(classes=3, perturb=perturb))
    assert shown.dtype == np.uint8
    assert called.dtype == np.int32
    assert len(shown) == len(called) >= count
    assert shown.shape[1:] == (28, 28, channels)
    assert ((called >= 0) & (called < 3)).all()
    np.testing.assert_array_equal(images, before[0], "the client's own images are left alone")
    np.testing.assert_array_equal(labels, before[1])
    if share == 0:
        np.testing.assert_array_equal(shown, images)
        np.testing.assert_array_equal(called, labels)


@pytest.mark.parametrize(
    "text", ["pixel-backdoor(target=1)", "edge-case(source=0)", "label-flip(kind='targeted')"]
)
def test_where_nobody_can_be_deceived_there_is_no_goal(text):
    images = np.zeros((4, 28, 28, 1), np.uint8)
    assert Attack.parse(text).criterion(Split(images, np.ones(4, np.int32)), AttackContext()) is None


def test_a_share_is_of_the_images_as_it_is_written():
    images, labels = np.zeros((100, 28, 28, 1), np.uint8), np.ones(100, np.int32)
    for share in (0.07, 0.14, 0.28, 0.55, 0.56, 0.57):
        _, called = Attack.parse(f"pixel-backdoor(share={share})").data(images, labels, AttackContext())
        assert (called == 0).sum() == round(100 * share)


def test_with_two_and_nine_classes_every_flip_stays_among_them():
    for classes in (2, 9):
        labels = np.arange(classes, dtype=np.int32).repeat(50)
        images = np.zeros((len(labels), 1, 1, 1), np.uint8)
        for kind in ("all", "random"):
            _, called = Attack.parse(f"label-flip(kind='{kind}')").data(
                images, labels, AttackContext(classes=classes)
            )
            assert set(called) == set(range(classes))
            changed = called != labels
            assert changed.all() or (kind == "all" and labels[~changed].tolist() == [classes // 2] * 50)


def test_noise_saturates_at_black_and_white():
    white = np.full((3, 9, 9, 1), 255, np.uint8)
    for images in (white, 0 * white):
        noisy, _ = Attack.parse("feature-noise(deviation=1e7)").data(
            images, np.zeros(3, np.int32), AttackContext()
        )
        assert set(np.unique(noisy)) == {0, 255}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fgsm-images(epsilon=0.001)", "hold no change of half a grey level"),
        ("pgd-images(epsilon='1/510')", "hold no change of half a grey level"),
        ("fgsm-images(epsilon='0.4/255', kind='unlearnable')", "hold no change of half a grey level"),
        (
            "feature-noise(deviation=0.0001)",
            r"deviation = 0.0001: .* nothing is left of noise under 0.125 grey levels [(]4.9e-04[)]$",
        ),
        (f"feature-noise(deviation={0.125 / 255.5!r})", "nothing is left of noise"),
        ("feature-noise(deviation=1e-9, share=0.5)", "nothing is left of noise"),
        ("edge-case(source=1)", "source = target = 1: nothing would change"),
    ],
)
def test_changes_that_vanish_in_eight_bits_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Attack.parse(text)


def test_the_smallest_changes_that_are_taken_do_change_images():
    images = np.full((20, 28, 28, 1), 128, np.uint8)
    noisy, _ = Attack.parse("feature-noise(deviation=0.0008)").data(
        images, np.zeros(20, np.int32), AttackContext()
    )
    assert 0 < (noisy != images).mean() < 0.05
    assert Attack.parse(f"feature-noise(deviation={0.125 / 255!r})"), "just at the bound"
    assert Attack.parse("fgsm-images(epsilon='0.51/255')")


def test_claims_are_numbers_that_a_server_reads():
    for factor, claimed in ((1e30, 2**31 - 1), (1e-30, 1), (0.5, 50), (2.0, 200), (1e7, 10**9)):
        assert Attack.parse(f"inflated-claim(factor={factor!r})").claim(100) == claimed


def test_a_free_riders_noise_falls_as_the_paper_says_and_never_overflows():
    zeros = np.zeros(100_000, np.float32)
    for round, decay in ((1, 3.0), (4, 1.0), (9, 0.5), (1000, 0.0)):
        noise = FreeRider(noise=0.1, decay=decay).update(zeros, AttackContext(round=round))
        assert noise.std() == pytest.approx(0.1 * round**-decay, rel=0.02)
    assert not FreeRider(noise=0.1, decay=1e38).update(zeros, AttackContext(round=1000)).any()
