import json
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from fedrobust.bounds import Count
from fedrobust.data.dataset import DataError
from fedrobust.data.partition import PARTITIONS, Partition, partition
from fedrobust.data.partition.dirichlet import dirichlet_counts, repaired
from fedrobust.data.partition.quantity import quantities
from fedrobust.errors import FedrobustError

METHODS = {
    name: {"min_size": 1} if name == "dirichlet" else {}
    for name in PARTITIONS
    if not any(hasattr(PARTITIONS[name], trait) for trait in ("OVERLAPS", "NEEDS_SITES"))
}


def labels(number=900, classes=5, seed=0):
    """Unbalanced labels in random order, every class there."""
    rng = np.random.default_rng(seed)
    drawn = rng.choice(classes, number, p=np.arange(1, classes + 1) / np.arange(1, classes + 1).sum())
    drawn[:classes] = np.arange(classes)
    return rng.permutation(drawn).astype(np.int32)


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("clients", [1, 3, 10, 30])
@pytest.mark.parametrize("method", METHODS)
def test_every_image_goes_to_exactly_one_client(method, clients, seed):
    images = labels()
    alone = method == "pathological" and clients == 1
    settings = {"classes_per_client": 5} if alone else METHODS[method]
    shared = partition(images, clients, method, seed=seed, **settings)
    assert shared.clients == clients
    np.testing.assert_array_equal(np.sort(np.concatenate(shared.shards)), np.arange(900))
    assert shared.sizes.min() >= 1
    for shard, counts in zip(shared.shards, shared.counts, strict=True):
        assert shard.dtype == np.int64
        assert (np.diff(shard) > 0).all()
        np.testing.assert_array_equal(counts, np.bincount(images[shard], minlength=5))


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_gives_the_same_partition_and_another_seed_another(method):
    again = [partition(labels(), 10, method, seed=seed, **METHODS[method]).hash for seed in (0, 0, 1)]
    assert again[0] == again[1] != again[2]


def test_a_record_holds_the_settings_of_its_method_however_they_are_written():
    plain = partition(labels(), 10, "dirichlet", alpha=1)
    other = partition(labels(), 10, "Dirichlet(alpha=1.0, min-size=10)")
    assert plain.settings == {"alpha": 1.0, "min_size": 10, "self_balancing": False}
    assert (plain.method, plain.hash) == (other.method, other.hash)


def test_iid_sizes_differ_by_one_at_most():
    assert sorted(partition(labels(103), 10).sizes.tolist()) == [10] * 7 + [11] * 3


def test_dirichlet_shares_have_the_moments_of_the_distribution():
    # For p ~ Dirichlet(a, ..., a) over K clients, E[sum p^2] = (a + 1) / (K a + 1).
    rng = np.random.default_rng(0)
    for alpha in (0.1, 0.5, 5.0):
        counts = dirichlet_counts(np.full(2000, 10_000), 10, rng, alpha, self_balancing=False)
        assert counts.sum(axis=1).tolist() == [10_000] * 2000
        found = ((counts / 10_000) ** 2).sum(axis=1).mean()
        assert found == pytest.approx((alpha + 1) / (10 * alpha + 1), rel=0.03)


def test_dirichlet_with_a_large_alpha_is_nearly_iid_and_with_a_small_one_concentrates():
    images = labels(5000)
    even = partition(images, 10, "dirichlet", alpha=1e5).counts
    assert np.abs(even / even.sum(axis=0) - 0.1).max() < 0.01
    skewed = partition(images, 10, "dirichlet", alpha=0.05, min_size=1, seed=1).counts
    # Expected largest share is far above the even 0.1: most of a class sits with one or two clients.
    assert np.sort(skewed / skewed.sum(axis=0), axis=0)[-2:].sum(axis=0).mean() > 0.8


@pytest.mark.parametrize("min_size", [1, 10, 40])
def test_dirichlet_keeps_the_least_size(min_size):
    assert partition(labels(), 10, "dirichlet", alpha=1.0, min_size=min_size).sizes.min() >= min_size


def test_self_balancing_gives_nothing_more_to_clients_above_their_fair_share():
    rng = np.random.default_rng(0)
    per_class = np.full(10, 1000)
    free, balanced = (
        dirichlet_counts(per_class, 10, rng, 0.3, self_balancing=choice) for choice in (False, True)
    )
    before = np.cumsum(balanced, axis=0) - balanced
    assert (before > 1000).any()
    assert (balanced[before > 1000] == 0).all()
    assert balanced.sum(axis=1).tolist() == per_class.tolist()
    freely_before = np.cumsum(free, axis=0) - free
    assert (free[freely_before > 1000] > 0).any()


def test_dirichlet_serves_thousands_of_clients():
    shared = partition(labels(60_000, 10), 3000, "dirichlet", alpha=5.0, min_size=1)
    assert shared.clients == 3000
    assert shared.counts.sum() == 60_000


def test_a_draw_that_has_enough_for_everybody_stays_as_it_was_drawn():
    """The bits of earlier versions: counts drawn once, then every class shuffled and dealt."""
    from fedrobust.data.partition.dirichlet import dealt
    from fedrobust.randomness import Purpose, generator

    images = labels(5000)
    rng = generator(7, Purpose.PARTITION)
    members = [np.flatnonzero(images == label) for label in np.unique(images)]
    counts = dirichlet_counts(np.array([len(each) for each in members]), 8, rng, 1.0, self_balancing=False)
    assert counts.sum(axis=0).min() >= 10
    found = partition(images, 8, "dirichlet", alpha=1.0, seed=7)
    for shard, expected in zip(found.shards, dealt(members, counts, rng), strict=True):
        np.testing.assert_array_equal(shard, np.sort(expected))


@pytest.mark.parametrize(
    ("alpha", "clients", "min_size"), [(0.05, 20, 10), (0.1, 20, 5), (1e-300, 6, 30), (3e38, 7, 1)]
)
def test_no_seed_is_refused_that_arithmetic_allows(alpha, clients, min_size):
    for seed in range(40):
        shared = partition(labels(200), clients, "dirichlet", alpha=alpha, min_size=min_size, seed=seed)
        assert shared.sizes.min() >= min_size
        assert shared.counts.sum() == 200


def test_a_repair_moves_as_few_images_as_can_and_from_the_largest_alone():
    draw = np.random.default_rng(3)
    for _ in range(50):
        counts = dirichlet_counts(np.array([300, 240]), 12, draw, 0.3, self_balancing=False)
        mended, sizes = repaired(counts, 8), counts.sum(axis=0)
        assert (mended >= 0).all()
        np.testing.assert_array_equal(mended.sum(axis=1), counts.sum(axis=1))
        moved = np.abs(mended - counts).sum() // 2
        assert moved == np.maximum(8 - sizes, 0).sum()
        givers = mended.sum(axis=0) < sizes
        if givers.any():
            # Whoever gave is no smaller now than anybody who did not, but for the one image in hand.
            assert mended.sum(axis=0)[givers].min() >= sizes[~givers].max() - 1


def test_a_repair_keeps_the_skew_that_was_asked_for():
    """Draws repeated until all clients have enough are less skewed than Dirichlet(alpha)'s own."""
    rng = np.random.default_rng(0)
    free, mended, redrawn = [], [], []
    per_class = np.array([147, 399])
    while len(free) < 300:
        counts = dirichlet_counts(per_class, 10, rng, 0.5, self_balancing=False)
        free.append(counts.sum(axis=0).std())
        mended.append(repaired(counts, 10).sum(axis=0).std())
        if counts.sum(axis=0).min() >= 10:
            redrawn.append(free[-1])
    assert abs(np.mean(mended) - np.mean(free)) < 0.15 * np.mean(free)
    assert np.mean(redrawn) < 0.85 * np.mean(free)


def test_exactly_as_many_images_as_are_needed():
    assert partition(labels(200), 20, "dirichlet", alpha=0.05, min_size=10).sizes.tolist() == [10] * 20


def test_how_uneven_it_came_out_is_said():
    even = partition(np.tile([0, 1], 50), 5, "iid").realised
    assert (even["smallest"], even["largest"], even["deviation"]) == (20, 20, 0.0)
    # Clients with one class of two alone: each is half of the whole away.
    apart = partition(np.repeat([0, 1], 50), 2, "pathological", classes_per_client=1)
    assert apart.realised["label-distance"] == 0.5
    assert apart.unevenness == "50 images each, labels 0.50 from those of all"
    assert json.loads(apart.to_json())["realised"] == apart.realised
    assert Partition.from_json(apart.to_json()).hash == apart.hash


@pytest.mark.parametrize("seed", range(12))
def test_few_clients_hold_all_classes_whatever_the_seed(seed):
    # Five clients with two of ten classes each have to hold every class once: one draw in 1,600 does.
    shared = partition(np.tile(np.arange(10), 30), 5, "pathological", classes_per_client=2, seed=seed)
    assert ((shared.counts > 0).sum(axis=0) == 1).all()
    assert ((shared.counts > 0).sum(axis=1) == 2).all()


def test_a_rare_class_goes_to_no_more_clients_than_it_has_images():
    rare = np.concatenate([np.zeros(2, int), np.repeat(np.arange(1, 4), 100)])
    shared = partition(rare, 30, "pathological", classes_per_client=2)
    assert 1 <= (shared.counts[:, 0] > 0).sum() <= 2
    assert ((shared.counts > 0).sum(axis=1) == 2).all()


def test_shards_hold_few_classes_and_even_numbers():
    # 10 classes of 100 in 20 blocks of 50: no block spans two classes, so two blocks show one or two.
    shared = partition(np.tile(np.arange(10), 100), 10, "shards", shards_per_client=2)
    assert shared.sizes.tolist() == [100] * 10
    assert set((shared.counts > 0).sum(axis=1).tolist()) <= {1, 2}
    assert set(shared.counts.ravel().tolist()) <= {0, 50, 100}


@pytest.mark.parametrize("assignment", ["random", "deterministic", "first-deterministic"])
@pytest.mark.parametrize("classes_per_client", [1, 2, 5])
def test_pathological_clients_hold_exactly_their_number_of_classes(assignment, classes_per_client):
    settings = {"classes_per_client": classes_per_client, "class_assignment": assignment}
    shared = partition(labels(), 15, "pathological", **settings)
    assert ((shared.counts > 0).sum(axis=1) == classes_per_client).all()


def test_pathological_holders_share_a_class_evenly():
    counts = partition(labels(), 12, "pathological", classes_per_client=3).counts
    for of_class in counts.T:
        held = of_class[of_class > 0]
        assert held.max() - held.min() <= 1


def test_deterministic_pathological_takes_classes_in_turn():
    shared = partition(labels(), 7, "pathological", classes_per_client=2, class_assignment="deterministic")
    for client, counts in enumerate(shared.counts):
        assert set(np.flatnonzero(counts)) == {client % 5, (client + 1) % 5}


def test_first_deterministic_pathological_takes_the_first_class_in_turn():
    settings = {"classes_per_client": 2, "class_assignment": "first-deterministic"}
    counts = partition(labels(), 10, "pathological", **settings).counts
    assert all(of_client[client % 5] > 0 for client, of_client in enumerate(counts))


@pytest.mark.parametrize(
    ("skew", "images", "expected"),
    [
        ("linear", 55 * 4, [4 * k for k in range(1, 11)]),
        ("square", 385 * 2, [2 * k * k for k in range(1, 11)]),
        # floor(1000 e^k / (e + e^2 + e^3 + e^4)) = 32, 87, 236, 643; the 2 left over go to the last.
        ("exponential", 1000, [32, 87, 236, 645]),
    ],
)
def test_quantity_sizes_are_exact(skew, images, expected):
    assert partition(labels(images), len(expected), "quantity", skew=skew).sizes.tolist() == expected


def test_exponential_skew_does_not_overflow():
    assert quantities(1000, 2000, "exponential").sum() == 1000


IMPOSSIBLE = [
    (
        546,
        100,
        "dirichlet",
        {"min_size": 10},
        ["546 images", "100 clients", "1000 needed", "min_size to 5", "to 54"],
    ),
    (546, 600, "iid", {}, ["546 images", "600 clients", "federation.clients to 546"]),
    (546, 0, "iid", {}, ["federation.clients = 0"]),
    (546, 300, "shards", {}, ["600 shards", "shards_per_client to 1", "to 273"]),
    (546, 5, "shards", {"shards_per_client": 0}, ["shards_per_client = 0", "from 1"]),
    (546, 5, "dirichlet", {"alpha": 0.0}, ["alpha = 0.0", "above 0"]),
    (546, 5, "dirichlet", {"alpha": float("nan")}, ["alpha=nan"]),
    (546, 5, "dirichlet", {"min_size": 0}, ["min_size = 0", "from 1"]),
    (546, 5, "pathological", {"classes_per_client": 6}, ["classes_per_client = 6", "1 to 5"]),
    (546, 2, "pathological", {"classes_per_client": 2}, ["2 clients", "all 5 classes", "to 3", "to 3"]),
    (546, 5, "pathological", {"class_assignment": "fair"}, ["'fair'", "first-deterministic"]),
    (
        546,
        3,
        "pathological",
        {"classes_per_client": 2, "class_assignment": "deterministic"},
        ["class 4 without a client", "raise classes_per_client"],
    ),
    (100, 90, "pathological", {"classes_per_client": 5}, ["class 0 has", "90 of 90 clients", "lower"]),
    (546, 10, "quantity", {"skew": "exponential"}, ["546 images", "first of 10", "clients to 6", '"linear"']),
    (546, 10, "quantity", {"skew": "cubic"}, ["skew = 'cubic'", "linear, square or exponential"]),
    (546, 10, "sorted", {}, ["'sorted' is no partition", "dirichlet", "pathological"]),
]


@pytest.mark.parametrize(("images", "clients", "method", "settings", "words"), IMPOSSIBLE)
def test_an_impossible_request_is_refused_with_the_numbers(images, clients, method, settings, words):
    with pytest.raises(FedrobustError) as refusal:
        partition(labels(images), clients, method, **settings)
    for word in words:
        assert word in str(refusal.value)


def test_advice_of_a_refusal_works():
    images = labels(546)
    assert partition(images, 6, "quantity", skew="exponential").sizes.min() >= 1
    assert partition(images, 273, "shards").sizes.min() >= 1
    with pytest.raises(DataError):
        partition(images, 7, "quantity", skew="exponential")


def test_json_brings_the_same_partition_back(tmp_path):
    shared = partition(labels(), 10, "dirichlet", alpha=0.5, seed=4)
    path = tmp_path / "partition.json"
    shared.write(path)
    read = Partition.from_json(path.read_text())
    assert (read.method, read.settings, read.seed, read.hash) == (
        "dirichlet",
        shared.settings,
        4,
        shared.hash,
    )
    np.testing.assert_array_equal(read.counts, shared.counts)
    for mine, theirs in zip(shared.shards, read.shards, strict=True):
        np.testing.assert_array_equal(mine, theirs)
        assert theirs.dtype == np.int64
    assert [entry.name for entry in tmp_path.iterdir()] == ["partition.json"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "partition.json"
    path.write_text("old")
    shared = partition(labels(), 3)

    def full(descriptor):
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        shared.write(path)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["partition.json"]


@pytest.mark.parametrize("key", ["method", "settings", "seed", "counts", "indices"])
def test_a_record_changed_after_it_was_written_is_refused(key):
    record = json.loads(partition(labels(), 3, "quantity").to_json())
    changed = {
        "method": "iid",
        "settings": {},
        "seed": 1,
        "counts": [[1]],
        "indices": record["indices"][::-1],
    }
    with pytest.raises(DataError, match="changed after it was written"):
        Partition.from_json(json.dumps(record | {key: changed[key]}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        "[" * 200_000,
        "null",
        '{"format": 1e999}',
        '{"format": 2}',
        '{"format": 1, "method": "iid"}',
    ],
)
def test_text_that_is_no_partition_is_refused(text):
    with pytest.raises(DataError, match="partition"):
        Partition.from_json(text)


def halves(labels, clients, rng):
    return np.array_split(np.arange(len(labels)), clients)


def overlapping(labels, clients, rng):
    return [np.arange(len(labels))] * clients


def test_a_method_of_ones_own_works_and_is_checked(monkeypatch):
    import sys
    import types

    module = types.ModuleType("own_partitions")
    module.halves, module.overlapping = halves, overlapping
    monkeypatch.setitem(sys.modules, "own_partitions", module)
    assert partition(labels(10), 2, "own_partitions:halves").shards[0].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(DataError, match="each of 10 images into one shard"):
        partition(labels(10), 2, "own_partitions:overlapping")


@pytest.mark.parametrize("bad", [np.zeros((3, 1), int), np.zeros(3), np.array([-1, 0]), np.zeros(0, int)])
def test_labels_that_are_no_labels_are_refused(bad):
    with pytest.raises(DataError, match="labels has"):
        partition(bad, 1)


def reversed_halves(labels, clients, seed, order=1):
    """Split the images in two, the last of them first."""
    return np.array_split(np.arange(len(labels))[::-1], clients)[::order]


@dataclass(frozen=True)
class Leftmost:
    """Give all clients but the last one image each."""

    keep: Count = 1

    def __call__(self, labels, clients, seed):
        cuts = [self.keep * number for number in range(1, clients)]
        return np.split(np.arange(len(labels)), cuts)


def test_methods_of_ones_own_are_functions_and_classes_with_settings(monkeypatch):
    monkeypatch.setitem(sys.modules, "own_partition", sys.modules[__name__])
    halves = partition(labels(10), 2, "own_partition:reversed_halves")
    assert [shard.tolist() for shard in halves.shards] == [[5, 6, 7, 8, 9], [0, 1, 2, 3, 4]]
    assert (halves.method, halves.settings) == ("own_partition:reversed_halves", {})
    turned = partition(labels(10), 2, "own_partition:reversed_halves(order=-1)")
    assert [shard.tolist() for shard in turned.shards] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert turned.settings == {"order": -1}
    left = partition(labels(10), 3, "own_partition:Leftmost(keep=2)")
    assert (left.sizes.tolist(), left.settings) == ([2, 2, 6], {"keep": 2})
    with pytest.raises(FedrobustError, match="keep = 0: choose a whole number from 1"):
        partition(labels(10), 3, "own_partition:Leftmost(keep=0)")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda images: [np.arange(9), np.arange(0)], "left client 1 without images"),
        (lambda images: [np.arange(9)], "made 1 shards for 2 clients"),
        (lambda images: [np.arange(9), np.arange(9)], "did not put each of 10 images into one shard"),
    ],
)
def test_what_a_method_of_ones_own_does_wrong_is_told(monkeypatch, made, message):
    def wrong(labels, clients, seed):
        return made(len(labels))

    monkeypatch.setattr(sys.modules[__name__], "wrong", wrong, raising=False)
    monkeypatch.setitem(sys.modules, "own_partition", sys.modules[__name__])
    with pytest.raises(DataError, match=f'data.partition = "own_partition:wrong" {message}'):
        partition(labels(10), 2, "own_partition:wrong")
