"""Attacks are run once, on the images asked for, and kept where they are found again: with attacks that are none."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from fedrobust.audit import AttackCache, ModelUnderAudit, Plan
from fedrobust.audit import attack_cache as module
from fedrobust.audit.attack_cache import spread
from fedrobust.audit.result import Result
from fedrobust.errors import FedrobustError
from fedrobust.evasion import NotDifferentiableError, Threat
from fedrobust.evasion.models.wrappers import Averaged
from fedrobust.evasion.run import Progress

SHAPE = (2, 2, 1)


class Bright:
    """Two logits, of which the second is the larger for an image brighter than grey; `noise` comes with every pass."""

    shape, classes = SHAPE, 2

    def __init__(self, noise=None):
        self.noise, self.passes, self.seen = noise, 0, []

    def logits(self, images):
        score = images.mean(axis=(1, 2, 3)).astype(np.float64) - 0.5
        if self.noise is not None:
            score = score + self.noise(self.passes, len(images))
        self.passes += 1
        self.seen.append(images)
        return np.stack([-score, score], axis=1)

    def gradient(self, *_):
        raise NotDifferentiableError("answers only")


def audited(n=10, target=None, digest="digest") -> ModelUnderAudit:
    """Return so many images from dark to bright, all of them labelled right."""
    images = np.linspace(0.2, 0.8, n, dtype=np.float32)[:, None, None, None] * np.ones(
        (1, *SHAPE), np.float32
    )
    labels = (images.mean(axis=(1, 2, 3)) > 0.5).astype(np.int32)
    return ModelUnderAudit("model", target or Bright(), images, labels, digest, {})


@pytest.fixture
def attacks(monkeypatch):
    """Attacks that break every image of an even place, and are noted down; each image costs its place in queries."""
    made = []

    def attack(model, images, labels, spec, threat, epsilons, seed, **settings):
        made.append(
            {"model": model, "images": images, "labels": labels, "spec": spec, "threat": threat}
            | {"epsilons": epsilons, "seed": seed, **settings}
        )
        places = settings["places"]
        success = np.broadcast_to(places % 2 == 0, (len(epsilons), len(places)))
        logits = np.zeros((len(epsilons), len(places), 2))
        logits[..., 0] = places
        settings["report"](Progress(1, 2))
        return SimpleNamespace(
            success=success,
            logits=logits,
            queries=places * 1.0,
            gradients=places * 2.0,
            seconds=0.5,
            shared=(3, 0),
        )

    monkeypatch.setattr(module, "attack", attack)
    return made


PLAN = Plan(epsilon=0.1, seed=7)


def test_an_attack_is_given_what_the_plan_says(attacks):
    made = AttackCache(audited(), PLAN, map="map")
    found = made.run("noise")
    [asked] = attacks
    assert asked.pop("report")
    np.testing.assert_array_equal(asked.pop("images"), made.audited.images)
    np.testing.assert_array_equal(asked.pop("labels"), made.audited.labels)
    np.testing.assert_array_equal(asked.pop("places"), np.arange(10))
    assert asked == {
        "model": made.audited.target,
        "spec": "noise",
        "threat": PLAN.threat,
        "epsilons": (0.1,),
        "seed": 7,
        "nested": True,
        "keep_images": False,
        "map": "map",
        "chunk": 32,
    }
    assert (found.name, found.epsilons) == ("noise", (0.1,))
    np.testing.assert_array_equal(found.rows, np.arange(10))
    np.testing.assert_array_equal(found.success, [np.arange(10) % 2 == 0])
    np.testing.assert_array_equal(found.logits[0, :, 0], np.arange(10))
    assert (found.queries, found.gradients, found.seconds) == (4.5, 9.0, 0.5)


def test_an_attack_is_run_once_for_each_way_to_ask_for_it(attacks):
    made, other = AttackCache(audited(), PLAN), Bright()
    rows = np.arange(10) > 4
    ways = [
        {},
        {"epsilons": [0.2, 0.05]},
        {"nested": False},
        {"threat": Threat(norm="l2")},
        {"rows": rows},
        {"rows": ~rows},
        {"target": other, "of": "other"},
    ]
    found = [made.run("noise", **way) for way in ways]
    assert len(attacks) == len(ways)
    assert [made.run("noise", **way) for way in ways] == found
    assert len(attacks) == len(ways), "each once"
    assert made.run("noise", [0.1], rows=np.ones(10, bool)) is found[0], "the plan's epsilon, all images"
    assert made.results == found
    assert found[1].epsilons == attacks[1]["epsilons"] == (0.05, 0.2)
    assert attacks[2]["nested"] is False
    assert attacks[3]["threat"] == Threat(norm="l2")
    np.testing.assert_array_equal(found[4].rows, np.arange(5, 10))
    np.testing.assert_array_equal(attacks[4]["images"], made.audited.images[5:])
    np.testing.assert_array_equal(attacks[4]["labels"], made.audited.labels[5:])
    np.testing.assert_array_equal(attacks[5]["places"], np.arange(5))
    assert attacks[6]["model"] is other
    assert found[6].name == "other: noise"


def test_one_step_is_run_at_every_epsilon_from_the_start(attacks):
    """As in studies: FGSM at an epsilon is the step of that size, not the best of smaller ones."""
    made = AttackCache(audited(), PLAN)
    found = made.run("fgsm", [0.1, 0.2])
    made.run("pgd", [0.1, 0.2])
    assert [one["nested"] for one in attacks] == [False, True]
    assert made.run("fgsm", [0.1, 0.2], nested=False) is found
    assert made.run("fgsm", [0.1, 0.2], nested=True) is not found


def test_without_images_nothing_is_run(attacks):
    found = AttackCache(audited(), PLAN).run("noise", [0.1, 0.2], rows=np.zeros(10, bool))
    assert not attacks
    assert found.name == "noise"
    assert found.epsilons == (0.1, 0.2)
    assert (len(found.rows), found.success.shape, found.logits.shape) == (0, (2, 0), (2, 0, 2))
    assert found.success.dtype == bool
    assert (found.queries, found.gradients, found.seconds) == (0, 0, 0)


def test_many_images_are_attacked_in_pieces_but_by_what_learns_from_all_at_once(attacks, monkeypatch):
    monkeypatch.setattr(module, "PIECE", 4)
    found = AttackCache(audited(), PLAN).run("noise")
    assert [one["places"].tolist() for one in attacks] == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]
    np.testing.assert_array_equal(found.logits[0, :, 0], np.arange(10))
    assert (found.success.shape, found.queries, found.gradients) == ((1, 10), 4.5, 9.0)
    assert found.seconds == 1.5
    attacks.clear()
    AttackCache(audited(8), PLAN).run("noise")
    assert [len(one["places"]) for one in attacks] == [4, 4]
    attacks.clear()
    AttackCache(audited(), PLAN).run("universal")
    assert [len(one["places"]) for one in attacks] == [10]


@pytest.mark.parametrize(("n", "chunk"), [(10, 32), (64, 32), (65, 33), (300, 150), (511, 256), (512, 256)])
def test_two_workers_have_half_of_a_piece_each(attacks, n, chunk):
    AttackCache(audited(n), PLAN).run("noise")
    assert attacks[0]["chunk"] == chunk


def test_what_learns_from_all_images_has_chunks_of_at_most_256(attacks):
    AttackCache(audited(600), PLAN).run("universal")
    assert attacks[0]["chunk"] == 256


def test_progress_is_reported_with_the_attacks_name(attacks):
    said = []
    made = AttackCache(audited(), PLAN, report=lambda name, progress: said.append((name, progress)))
    made.run("noise", of="other")
    assert said == [("other: noise", Progress(1, 2)), ("other: noise", Progress(1, 0))]


# -- Kept on the disk ------------------------------------------------------------------------------------------------


def test_what_was_found_is_found_again_on_the_disk(attacks, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PIECE", 4)
    folder = tmp_path / "new" / "attacks"
    first = AttackCache(audited(), PLAN, folder).run("noise")
    assert len(list(folder.iterdir())) == len(attacks) == 3
    again = AttackCache(audited(), PLAN, folder).run("noise")
    assert len(attacks) == 3
    for name in ("success", "logits", "rows"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert (first.queries, first.gradients, first.seconds) == (again.queries, again.gradients, again.seconds)
    next(folder.iterdir()).write_bytes(b"damaged")
    AttackCache(audited(), PLAN, folder).run("noise")
    assert len(attacks) == 4, "the damaged one is made anew"
    AttackCache(audited(), PLAN, folder).run("noise")
    assert len(attacks) == 4


@pytest.mark.parametrize("changed", ["seed", "model", "images", "labels", "code"])
def test_whatever_an_attack_depends_on_must_be_the_same(attacks, tmp_path, monkeypatch, changed):
    AttackCache(audited(), PLAN, tmp_path).run("noise")
    one, plan = audited(digest="other" if changed == "model" else "digest"), PLAN
    if changed == "seed":
        plan = Plan(epsilon=0.1, seed=8)
    elif changed == "images":
        one.images[3, 0, 0, 0] += 1e-3
    elif changed == "labels":
        one.labels[3] = 1 - one.labels[3]
    elif changed == "code":
        monkeypatch.setattr(module, "code_digest", lambda: "another")
    AttackCache(one, plan, tmp_path).run("noise")
    assert len(attacks) == len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FedrobustError, match="file"):
        AttackCache(audited(), PLAN, tmp_path / "file" / "attacks")


# -- What the model shows --------------------------------------------------------------------------------------------


def test_rows_are_spread_from_first_to_last():
    assert spread(np.arange(100), 5).tolist() == [0, 24, 49, 74, 99]
    assert spread(np.array([4, 8]), 2).tolist() == [4, 8]
    assert spread(np.array([4, 6, 8]), 2).tolist() == [4, 8]


@pytest.mark.parametrize("part", [1, 3, 4])
@pytest.mark.parametrize(("size", "counted"), [(0.0, 0), (0.0009, 0), (0.0012, 2)])
def test_an_answer_that_moves_by_a_thousandth_of_the_largest_logit_varies(part, size, counted):
    """In one of five passes two of the images get another answer."""

    def noise(number, n):
        return np.where((np.arange(n) < 2) & (number == part), size * 0.1, 0.0)

    images = np.concatenate([np.full((5, *SHAPE), 0.6), np.full((1, *SHAPE), 0.9)]).astype(np.float32)
    target = Bright(noise)
    assert module._varying(target, images) == counted
    assert target.passes == 5
    assert all(seen is images for seen in target.seen)


def test_no_number_and_no_size_are_handled():
    silent = Bright(lambda number, n: np.where(np.arange(n) == 1, np.nan, 0.0))
    assert module._varying(silent, np.full((3, *SHAPE), 0.7, np.float32)) == 1
    grey = Bright()
    assert module._varying(grey, np.full((3, *SHAPE), 0.5, np.float32)) == 0, "all logits are 0"


def test_a_model_that_varies_between_grey_levels_alone_is_averaged():
    class Between(Bright):
        def logits(self, images):
            between = np.abs(images * 5 - np.rint(images * 5)).max(axis=(1, 2, 3)) > 1e-3
            self.noise = lambda number, n: np.where(between, 0.1 * number, 0.0)
            return super().logits(images)

    one = audited(4, Between())
    one.images[:] = np.rint(one.images * 5) / 5
    made = AttackCache(one, PLAN)
    assert made.varying == {"clean": 0, "moved": 4}
    assert isinstance(made.target, Averaged)
    still = AttackCache(audited(4), PLAN)
    assert still.varying == {"clean": 0, "moved": 0}
    assert still.target is still.audited.target
    assert not still.differentiable
    assert still.hidden_layers == []
    assert still.substituted is None


def test_what_is_broken_within_a_smaller_epsilon_is_broken():
    success = np.array([[True, False, False], [False, True, False], [False, False, True]])
    made = Result("x", (0.1, 0.2, 0.3), np.array([0, 2, 3]), success, np.zeros((3, 3, 2)), 0.0, 0.0, 0.0)
    assert made.broken(0.1, 5).tolist() == [True, False, False, False, False]
    assert made.broken(0.2, 5).tolist() == [True, False, True, False, False]
    assert made.broken(0.3, 4).tolist() == [True, False, True, True]


def test_results_of_another_reading_of_the_model_are_not_found_and_shared_queries_are_kept(attacks, tmp_path):
    for reading, runs in (("", 1), ("", 1), ('{"input": {"": "-1..1"}}', 2)):
        found = AttackCache(replace(audited(), reading=reading), PLAN, tmp_path).run("noise")
        assert (len(attacks), found.shared) == (runs, 3)
