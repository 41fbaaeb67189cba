"""Hospitals with a file each, and sites held out of training."""

import numpy as np
import pytest

from fedrobust.config import ConfigError, Experiment
from fedrobust.data.dataset import DataError
from fedrobust.data.held_out import without_sites
from fedrobust.data.hospitals import joined
from fedrobust.data.npz import read_npz
from fedrobust.study import Study

SIZES = {"zug": 6, "aarau": 4, "bern": 8}
SPLITS = ("train", "val", "test")


@pytest.fixture
def written(tmp_path):
    """Return a function that writes a hospital's file, without the arrays that are None, and returns its path."""

    def write(name, size=4, **changes):
        rng = np.random.default_rng(size)
        arrays = {f"{split}_images": rng.integers(0, 256, (size, 8, 8), np.uint8) for split in SPLITS}
        arrays |= {f"{split}_labels": np.arange(size) % 2 for split in SPLITS}
        path = tmp_path / f"{name}.npz"
        path.parent.mkdir(exist_ok=True)
        np.savez(path, **{key: each for key, each in (arrays | changes).items() if each is not None})
        return path

    return write


@pytest.fixture
def three(written):
    return [written(name, size) for name, size in SIZES.items()]


def test_client_i_trains_on_file_i_and_all_are_tested_together(three):
    files = [str(path) for path in three]
    study = Study.of(Experiment.of(data__clients=files, data__partition="site", federation__clients=3))
    for client, path in enumerate(three):
        own = read_npz(path).train
        assert np.array_equal(study.shard(client).images, own.images)
        assert np.array_equal(study.shard(client).labels, own.labels)
    assert study.dataset.sites.names == tuple(SIZES), "in the order of the files"
    tests = np.concatenate([read_npz(path).test.images for path in three])
    assert np.array_equal(study.dataset.test.images, tests)
    assert study.partition.settings == {"names": list(SIZES)}


def test_a_file_may_lack_classes_and_splits_that_others_have(written):
    names = np.array(["healthy", "ill"])
    one = written("a", label_names=names, disease=np.array([1]))
    other = written(
        "b",
        train_labels=np.ones(4, int),
        **dict.fromkeys([f"{split}_{part}" for split in ("val", "test") for part in ("images", "labels")]),
    )
    found = joined([other, one])
    assert (found.label_names, found.disease) == (("healthy", "ill"), (1,))
    assert len(found.train) == 8
    assert found.test_sites.of_images.tolist() == ["a"] * 4


def test_the_digest_tells_who_has_which_image(written):
    one, other = written("a", 4), written("b", 6)
    assert joined([one, other]).digest != joined([other, one]).digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": np.zeros((4, 9, 9), np.uint8)}, "has images of shape"),
        (
            {f"{split}_images": np.zeros((4, 9, 9), np.uint8) for split in SPLITS},
            r"b.npz: images of \(9, 9, 1\), those of .*a.npz are \(8, 8, 1\)",
        ),
        (
            {"label_names": np.array(["ill", "healthy"])},
            "b.npz: label_names 'ill', 'healthy', in .*a.npz 'healthy', 'ill'",
        ),
        ({"disease": np.array([0])}, "b.npz: disease 0, in .*a.npz 1"),
        ({"train_labels": np.arange(4)}, "b.npz: labels go up to 3, .*a.npz names 2 classes"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(written, changes, message):
    one = written("a", label_names=np.array(["healthy", "ill"]), disease=np.array([1]))
    with pytest.raises(DataError, match=message):
        joined([one, written("b", **changes)])


def test_files_of_one_name_and_files_without_a_split_are_refused(written):
    with pytest.raises(DataError, match=r"two files are called a\.npz"):
        joined([written("a"), written("b/a")])
    lacking = [written(name, val_images=None, val_labels=None) for name in "ab"]
    with pytest.raises(DataError, match="no file has val_images; allowed: validation images in at least one"):
        joined(lacking)
    with pytest.raises(DataError, match=r"data\.clients \(a, b\): train labels has no image of class 0"):
        joined([written(name, train_labels=np.ones(4, int)) for name in "ab"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r'data\.partition = "iid" with data\.clients: .*set data\.partition = "site"'),
        ({"data__name": "x.npz", "data__partition": "site"}, r'data\.name = "x\.npz" with data\.clients'),
    ],
)
def test_settings_that_contradict_files_of_clients_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Experiment.of(data__clients=["a.npz", "b.npz"], federation__clients=2, **settings)


def test_another_number_of_clients_and_a_missing_file_are_refused(three):
    settings = {"data__partition": "site", "federation__clients": 2}
    with pytest.raises(DataError, match=r"3 sites \(zug, aarau, bern\) .*set federation.clients = 3"):
        Study.of(Experiment.of(data__clients=[str(path) for path in three], **settings)).partition  # noqa: B018
    with pytest.raises(DataError, match=r"none\.npz: no such file"):
        Study.of(Experiment.of(data__clients=["none.npz", "b.npz"], **settings)).dataset  # noqa: B018


def test_a_site_that_is_held_out_is_in_no_split(three):
    whole = joined(three)
    found = without_sites(whole, ["aarau"])
    assert found.sites.names == ("zug", "bern")
    assert [len(split) for split in found.splits.values()] == [14, 14, 14]
    own = read_npz(three[1])
    assert np.array_equal(
        found.unseen["aarau"].images, np.concatenate([split.images for split in own.splits.values()])
    )
    held = {image.tobytes() for image in found.unseen["aarau"].images}
    assert not any(image.tobytes() in held for split in found.splits.values() for image in split.images)
    assert found.digest != whole.digest
    assert without_sites(whole, []) is whole


def test_sites_of_one_file_are_held_out_where_it_records_them(written):
    sites = {f"{split}_site": np.array(["a", "b", "b", "c", "c", "c"]) for split in SPLITS}
    found = without_sites(read_npz(written("own", 6, **sites)), ["c"])
    assert found.sites.names == ("a", "b")
    assert found.sites.rows.tolist() == [0, 1, 1]
    assert len(found.unseen["c"]) == 9


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        (["genf"], r"data\.held-out-sites = \['genf'\]: no site 'genf'; allowed: aarau, bern, zug"),
        (list(SIZES), "no train images are left; hold fewer sites out"),
    ],
)
def test_sites_that_cannot_be_held_out_are_refused(three, held_out, message):
    with pytest.raises(DataError, match=message):
        without_sites(joined(three), held_out)


def test_sites_of_test_images_have_to_be_known(written):
    data = read_npz(written("own", 6, train_site=np.array(["a", "b", "b", "c", "c", "c"])))
    with pytest.raises(DataError, match="does not record the sites of its validation images; save val_site"):
        without_sites(data, ["c"])


def test_files_that_name_no_classes_are_told(written):
    names = np.array(["healthy", "ill"])
    one, other = written("a", label_names=names), written("b")
    (said,) = joined([one, other]).remarks
    assert said.startswith("data.clients: b: no label_names in the file: whether its labels mean the same")
    assert joined([one, written("c", label_names=names)]).remarks == ()
