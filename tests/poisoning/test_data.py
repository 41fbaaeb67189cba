"""Attacks on what malicious clients train on."""

import numpy as np
import pytest

from fedrobust.data.dataset import Split
from fedrobust.poisoning import Attack, AttackContext
from fedrobust.poisoning.data.edge_case import rare_images
from fedrobust.spec import SpecError


def context(**settings):
    return AttackContext(**{"classes": 3, "fixed": np.random.default_rng(1), **settings})


@pytest.fixture
def split(draw):
    images = draw.integers(0, 256, (60, 12, 12, 1)).astype(np.uint8)
    return Split(images, np.repeat(np.arange(3), 20).astype(np.int32))


def poisoned(text, split, **settings):
    return Attack.parse(text).data(split.images, split.labels, context(**settings))


def test_label_flips(split):
    images, labels = poisoned("label-flip", split)
    assert images is split.images or np.array_equal(images, split.images)
    assert labels.tolist() == [2] * 20 + [1] * 20 + [0] * 20
    _, labels = poisoned('label-flip(kind="targeted", source=2, target=0)', split)
    assert labels.tolist() == [0] * 20 + [1] * 20 + [0] * 20
    _, labels = poisoned('label-flip(kind="random")', split)
    assert np.all(labels != split.labels)
    assert len(set(zip(labels.tolist(), split.labels.tolist(), strict=True))) == 6, (
        "every wrong label comes up"
    )
    _, labels = poisoned("label-flip(share=0.5)", split, classes=2)
    assert 0.25 < np.mean(labels != split.labels) < 0.75


def test_only_a_targeted_flip_has_a_goal(split):
    attack = Attack.parse('label-flip(kind="targeted", source=2, target=0)')
    criterion = attack.criterion(split, context())
    np.testing.assert_array_equal(criterion.images, split.images[40:])
    assert set(criterion.target_labels) == {0}
    assert criterion.clean is None, "nothing is added to the images: there is no control"
    assert Attack.parse("label-flip").criterion(split, context()) is None
    assert Attack.parse("sign-flip").criterion(split, context()) is None
    assert Attack.parse('label-flip(kind="targeted", source=9, target=0)').criterion(split, context()) is None


@pytest.mark.parametrize("name", ["pixel-backdoor", "blended-backdoor", "distributed-backdoor"])
def test_backdoors_stamp_a_share_of_other_classes_and_call_it_the_target(name, split):
    images, labels = poisoned(f"{name}(target=1, share=0.25)", split)
    changed = np.flatnonzero((images != split.images).any((1, 2, 3)))
    assert len(changed) == 10
    assert np.all(split.labels[changed] != 1)
    assert np.all(labels[changed] == 1)
    untouched = np.setdiff1d(np.arange(60), changed)
    np.testing.assert_array_equal(labels[untouched], split.labels[untouched])
    criterion = Attack.parse(f"{name}(target=1)").criterion(split, context())
    assert len(criterion.target_labels) == 40
    np.testing.assert_array_equal(criterion.clean, split.images[split.labels != 1])
    if name != "distributed-backdoor":
        np.testing.assert_array_equal(criterion.images[0], images[0] if 0 in changed else criterion.images[0])
    assert (criterion.images != criterion.clean).any((1, 2, 3)).all()


def test_parts_of_a_distributed_trigger_make_the_whole(split):
    black = Split(np.zeros((4, 28, 28, 1), np.uint8), np.array([0, 0, 1, 1], np.int32))
    attack = Attack.parse("distributed-backdoor(target=1, share=1.0)")
    parts = [attack.data(black.images, black.labels, context(rank=rank))[0][0] for rank in range(4)]
    whole = attack.criterion(black, context()).images[0]
    np.testing.assert_array_equal(np.maximum.reduce(parts), whole)
    assert len({part.tobytes() for part in parts}) == 4
    assert sum(int((part > 0).sum()) for part in parts) == int((whole > 0).sum()), "no two parts overlap"


def test_the_blended_pattern_is_the_same_for_everybody_and_faint(split):
    attack = Attack.parse("blended-backdoor(strength=0.1, target=1)")
    one, other = (attack.criterion(split, context(client_id=p, seed=5)).images for p in (0, 7))
    np.testing.assert_array_equal(one, other)
    assert np.abs(one.astype(int) - split.images[split.labels != 1]).max() <= 26
    another = attack.criterion(split, context(seed=6)).images
    assert (one != another).any()


def test_edge_cases_are_the_images_farthest_from_their_class(draw):
    images = np.full((20, 4, 4, 1), 100, np.uint8)
    images[[3, 11]] = 250
    labels = np.zeros(20, np.int32)
    assert rare_images(images, labels, 0, 0.1).tolist() == [3, 11]
    assert rare_images(images, labels, 1, 0.1).tolist() == []
    attack = Attack.parse("edge-case(source=0, target=2, share=0.1, repeats=3)")
    shown, called = attack.data(images, labels, context())
    assert len(shown) == 24
    assert (shown[20:] == 250).all()
    assert called[[3, 11]].tolist() == [2, 2]
    assert called.sum() == 2 * 6
    criterion = attack.criterion(Split(images, labels), context())
    np.testing.assert_array_equal(criterion.images, images[[3, 11]])
    assert criterion.target_labels.tolist() == [2, 2]
    assert criterion.clean is None


def test_rare_is_what_is_far_from_the_mean_of_its_own_class_bright_or_dark():
    # Class 1 is bright, its mean 184.4: 100, 110 and 250 are 84.4, 74.4 and 65.6 away from it, 200 is 15.6.
    levels = [200, 250, 0, 200, 100, 200, 200, 255, 110, 200, 200, 0]
    images = np.broadcast_to(np.array(levels, np.uint8)[:, None, None, None], (12, 2, 2, 1))
    labels = np.array([1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 2])
    assert rare_images(images, labels, 1, 0.1).tolist() == [4]
    assert rare_images(images, labels, 1, 0.2).tolist() == [4, 8]
    assert rare_images(images, labels, 1, 0.3).tolist() == [1, 4, 8]
    assert rare_images(images, labels, 1, 0.4).tolist() == [0, 1, 4, 8], "of equally far ones the first"
    assert rare_images(images, labels, 0, 0.5).tolist() == [2], "of equally far ones the first"


def test_edge_cases_are_repeated_as_often_as_asked():
    images = np.array([9, 9, 9, 200], np.uint8)[:, None, None, None]
    for repeats in (1, 2, 5):
        attack = Attack.parse(f"edge-case(source=2, target=0, share=0.25, repeats={repeats})")
        shown, called = attack.data(images, np.full(4, 2, np.int32), context())
        assert shown.ravel().tolist() == [9, 9, 9] + [200] * repeats
        assert called.tolist() == [2, 2, 2] + [0] * repeats


def test_feature_noise(split):
    images, labels = poisoned(
        "feature-noise(deviation=0.1)", Split(np.full((50, 28, 28, 1), 128, np.uint8), split.labels[:50])
    )
    assert np.array_equal(labels, split.labels[:50])
    assert abs(images.astype(float).std() - 25.5) < 1
    assert abs(images.mean() - 128) < 1


def test_crafted_images_ask_for_the_gradient_they_need(split):
    asked = []

    def perturb(images, labels, **how):
        asked.append((labels.copy(), how))
        return images ^ 1

    for kind, up in (("adversarial", True), ("targeted", False), ("unlearnable", False)):
        images, labels = poisoned(
            f'fgsm-images(kind="{kind}", epsilon="4/255", share=0.5)', split, perturb=perturb
        )
        np.testing.assert_array_equal(labels, split.labels)
        aims, how = asked.pop()
        assert how == {"epsilon": 4 / 255, "steps": 1, "step_size": 4 / 255, "ascend": up}
        moved = np.flatnonzero((images != split.images).any((1, 2, 3)))
        assert len(moved) == 30
        expected = (split.labels[moved] + (kind == "targeted")) % 3
        assert sorted(aims.tolist()) == sorted(expected.tolist())
    poisoned("pgd-images(steps=5)", split, perturb=perturb)
    assert asked.pop()[1]["step_size"] == 2.5 * 8 / 255 / 5


def test_gradients_are_to_be_had_in_a_study_only(split):
    with pytest.raises(SpecError, match="it runs in a study only"):
        poisoned("fgsm-images", split)


def test_the_same_images_are_poisoned_in_every_round(split):
    attack = Attack.parse('label-flip(kind="random", share=0.5) + pixel-backdoor')
    one, other = (attack.data(split.images, split.labels, context(round=round)) for round in (1, 2))
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label-flip(kind='some')", "choose all, targeted or random"),
        ("label-flip(kind='targeted', source=1, target=1)", "nothing would change"),
        ("fgsm-images(epsilon=2)", r"lies in \(0, 1\]"),
        ("fgsm-images(kind='x')", "choose adversarial, targeted or unlearnable"),
        ("min-max(direction='up')", "choose deviation, mean or sign"),
        ("not-finite(value='one')", "choose nan or inf"),
        ("fedrobust.data.dataset:Split", "needs the setting images"),
        ("fedrobust.poisoning.context:AttackContext", "has one of the methods data, update, collude"),
    ],
)
def test_wrong_settings_are_refused(text, message):
    with pytest.raises(SpecError, match=message):
        Attack.parse(text)


def test_blending_is_the_papers_weighted_sum(split):
    (part,) = Attack.parse("blended-backdoor(strength=0.3)").parts
    black, white = (np.full((1, 12, 12, 1), level, np.uint8) for level in (0, 255))
    pattern = np.random.default_rng([7, 1712]).integers(0, 256, (12, 12, 1))
    for images in (black, white, split.images):
        expected = np.rint((1 - 0.3) * images + 0.3 * pattern)
        np.testing.assert_array_equal(part.stamped(images, context(seed=7)), expected)


def test_at_larger_sides_the_blended_pattern_is_the_same_in_larger_fields():
    (part,) = Attack.parse("blended-backdoor(strength=1.0)").parts
    small = part.stamped(np.zeros((1, 28, 28, 3), np.uint8), context(seed=7))
    large = part.stamped(np.zeros((1, 84, 84, 3), np.uint8), context(seed=7))
    np.testing.assert_array_equal(large, small.repeat(3, 1).repeat(3, 2))
    odd = part.stamped(np.zeros((1, 57, 60, 1), np.uint8), context(seed=7))
    assert odd.shape == (1, 57, 60, 1), "fields at the edge are cut"


def test_a_share_of_the_images_is_noisy():
    images, labels = np.full((400, 6, 6, 1), 128, np.uint8), np.zeros(400, np.int32)
    noisy, _ = Attack.parse("feature-noise(share=0.3)").data(images, labels, context())
    assert 0.2 < (noisy != images).any((1, 2, 3)).mean() < 0.4
    noisy, _ = Attack.parse("feature-noise(deviation=0.2)").data(images, labels, context())
    assert (noisy != images).any((1, 2, 3)).all()
    inside = noisy[(noisy > 0) & (noisy < 255)].astype(float) - 128
    assert abs(inside.std() - 51) < 2, "grey levels: 255 times the deviation"


def test_noise_is_drawn_as_float32_added_and_rounded(split):
    noisy, labels = poisoned("feature-noise(deviation=0.3, share=0.6)", split)
    fixed = np.random.default_rng(1)
    drawn = fixed.standard_normal(split.images.shape, dtype=np.float32)
    expected = np.clip(np.rint(split.images + np.float32(76.5) * drawn), 0, 255).astype(np.uint8)
    hit = fixed.random(60) < 0.6
    np.testing.assert_array_equal(noisy[hit], expected[hit])
    np.testing.assert_array_equal(noisy[~hit], split.images[~hit])
    np.testing.assert_array_equal(labels, split.labels)


class Mirrors:
    """An attack of one's own that is careless about types."""

    def data(self, images, labels, context):
        """Return mirrored images as a view of numbers of 64 bits, and a list of labels."""
        return images.astype(np.int64)[:, :, ::-1], (labels + context.rank).tolist()


def test_what_is_trained_on_are_contiguous_bytes_and_int32_whatever_an_attack_returns(split):
    images, labels = Attack((Mirrors(),)).data(split.images, split.labels, context(rank=2))
    assert images.dtype == np.uint8
    assert images.flags.c_contiguous
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(images, split.images[:, :, ::-1])
    np.testing.assert_array_equal(labels, split.labels + 2)


def test_every_attacker_of_a_distributed_backdoor_has_the_part_of_its_rank():
    black = np.zeros((2, 28, 28, 1), np.uint8)
    attack = Attack.parse("distributed-backdoor(parts=3, target=1, share=1.0)")
    bars = [attack.data(black, np.zeros(2, np.int32), context(rank=rank))[0] for rank in range(6)]
    for rank in range(3):
        np.testing.assert_array_equal(bars[rank], bars[rank + 3])
    assert [np.argwhere(bar[0, :, :, 0])[0].tolist() for bar in bars[:3]] == [[1, 1], [1, 8], [4, 1]]
