import tracemalloc

import numpy as np
import pytest

import fedrobust
from fedrobust.data.dataset import DataError
from fedrobust.data.partition import partition
from fedrobust.data.partition.drawn import COUNTED, Drawing
from fedrobust.spec import SpecError


@pytest.fixture
def labels(draw):
    return draw.choice(4, 5000, p=[0.5, 0.3, 0.15, 0.05]).astype(np.int32)


def drawn(labels, clients=50, **settings) -> Drawing:
    made = partition(labels, clients, "draw", **{"alpha": 0.5, "images_per_client": 30, **settings})
    assert isinstance(made, Drawing)
    return made


def test_a_client_draws_the_same_whoever_else_there_is(labels):
    few, many = drawn(labels, 10), drawn(labels, 100_000)
    for client in (0, 7, 9):
        np.testing.assert_array_equal(few.shards[client], many.shards[client])
    assert not np.array_equal(few.shards[0], few.shards[1])
    assert not np.array_equal(few.shards[0], drawn(labels, 10, seed=1).shards[0])
    assert (few.sizes == 30).all()
    assert all(len(shard) == 30 for shard in few.shards)


def test_clients_together_have_the_shares_of_the_data(labels):
    shares = np.bincount(labels) / len(labels)
    for alpha in (0.1, 100.0):
        drawing = drawn(labels, 4000, alpha=alpha)
        found = np.mean([np.bincount(labels[shard], minlength=4) / 30 for shard in drawing.shards], axis=0)
        np.testing.assert_allclose(found, shares, atol=0.02)


def test_dirichlets_variance_is_the_formulas(labels):
    # Var q_c = p_c (1 - p_c) / (alpha + 1); drawing n images adds E[q_c (1 - q_c)] / n.
    alpha, images = 3.0, 200
    drawing = drawn(labels, 12_000, alpha=alpha, images_per_client=images)
    found = np.var([np.bincount(labels[shard], minlength=4) / images for shard in drawing.shards], axis=0)
    share = np.bincount(labels) / len(labels)
    variance = share * (1 - share) / (alpha + 1)
    expected = variance + (share * (1 - share) - variance) / images
    np.testing.assert_allclose(found, expected, rtol=0.1)


def test_a_tiny_alpha_gives_one_class_each(labels):
    for alpha in (1e-3, 1e-300):
        classes = [len(np.unique(labels[shard])) for shard in drawn(labels, 50, alpha=alpha).shards]
        assert np.mean(classes) < 1.1


def test_an_image_is_drawn_twice_only_where_a_class_has_too_few():
    labels = np.repeat([0, 1], [1000, 5])
    plenty = drawn(labels, 20, alpha=1e-3, images_per_client=40)
    for shard in plenty.shards:
        common = shard[labels[shard] == 0]
        assert len(np.unique(common)) == len(common)
    assert len(drawn(labels, 1, images_per_client=3000).shards[0]) == 3000


def test_a_hundred_thousand_clients_cost_nothing_until_they_are_asked(labels):
    tracemalloc.start()
    drawing = drawn(labels, 100_000)
    assert drawing.sizes.sum() == 3_000_000
    assert len(drawing.shards[99_999]) == 30
    assert len(drawing.hash) == 64
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000
    assert len(drawing.counts) == COUNTED
    with pytest.raises(IndexError, match="client 100000: there are clients 0 to 99999"):
        drawing.shards[100_000]


def test_the_hash_depends_on_all_that_shards_depend_on(labels):
    base = drawn(labels).hash
    assert base == drawn(labels.copy()).hash
    other = labels.copy()
    other[0] = (other[0] + 1) % 4
    changed = [
        drawn(other),
        drawn(labels, 51),
        drawn(labels, seed=1),
        drawn(labels, alpha=0.6),
        drawn(labels, images_per_client=31),
    ]
    assert len({base, *(drawing.hash for drawing in changed)}) == 6


def test_bad_settings_are_refused(labels):
    with pytest.raises(SpecError, match=r"alpha = 0\.0: choose a finite number above 0"):
        drawn(labels, alpha=0.0)
    with pytest.raises(SpecError, match=r"images_per_client = 0: choose a whole number from 1"):
        drawn(labels, images_per_client=0)
    with pytest.raises(DataError, match=r'or choose data\.partition = "draw"'):
        partition(labels, 5001)


def test_a_population_larger_than_the_data_is_run_and_reported(tmp_path):
    run = fedrobust.run(
        out=tmp_path / "run",
        data__samples=300,
        model__name="edge-cnn(width=8)",
        data__partition="draw(images_per_client=20)",
        federation__clients=5000,
        federation__participation=0.001,
        federation__rounds=2,
        evaluation__epsilons=[0.005],
        audit__enabled=False,
        distillation__enabled=False,
        export__enabled=False,
    )
    assert [entry["clients"]["trained"] for entry in run.result["rounds"]] == [5, 5]
    assert run.folder.read_json("partition.json")["clients"] == 5000
    page = run.report.read_text()
    assert "5,000 hospitals, 2 rounds" in page
    assert "Of 5,000 hospitals, the first 1,000 are shown." in page
