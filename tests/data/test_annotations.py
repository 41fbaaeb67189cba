"""What an own file may tell beside images and labels, and hospitals as clients."""

import numpy as np
import pytest

from fedrobust.config import ConfigError, Experiment
from fedrobust.data.dataset import DataError
from fedrobust.data.npz import read_npz
from fedrobust.data.partition import BySite, partition
from fedrobust.data.sites import Sites
from fedrobust.study import Study

LABELS = np.arange(12) % 2
SITES = np.array(["Bern", "Aarau", "Chur"] * 4)


@pytest.fixture
def written(tmp_path):
    """Return a function that writes a small file with further arrays, and returns its path."""

    def write(**more):
        images = np.zeros((12, 8, 8), np.uint8)
        arrays = {f"{split}_images": images for split in ("train", "val", "test")}
        arrays |= {f"{split}_labels": LABELS for split in ("train", "val", "test")}
        np.savez(tmp_path / "own.npz", **arrays, **more)
        return tmp_path / "own.npz"

    return write


def test_a_file_that_tells_nothing_has_numbers_for_names(written):
    found = read_npz(written())
    assert (found.label_names, found.disease, found.sites) == (("0", "1"), (), None)


@pytest.mark.parametrize("kind", [str, bytes])
def test_names_disease_and_sites_are_read(written, kind):
    names = np.array(["healthy", "cancer"]).astype("S" if kind is bytes else "U")
    found = read_npz(written(label_names=names, disease=np.array([1]), train_site=SITES))
    assert (found.label_names, found.disease) == (("healthy", "cancer"), (1,))
    assert found.sites.names == ("Aarau", "Bern", "Chur")
    assert found.sites.rows[:4].tolist() == [1, 0, 2, 1]


def test_sites_may_be_numbers_in_a_column(written):
    found = read_npz(written(train_site=np.array([[10], [2]] * 6)))
    assert found.sites.names == ("10", "2")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            {"label_names": np.array(["a"])},
            r"label_names .*\(1,\); allowed: .*, \(2,\), one a class",
        ),
        ({"train_site": SITES[:5]}, r"train_site .*\(5,\); allowed: .*\(12,\), one a training image"),
        ({"train_site": np.linspace(0, 1, 12)}, r"train_site has dtype float64"),
        ({"disease": np.array([0.5])}, r"disease has dtype float64"),
        ({"disease": np.array([7])}, r"disease has the label 7"),
        ({"train_site": np.array([None] * 12)}, r"pickle"),
    ],
)
def test_arrays_of_another_kind_are_refused(written, array, message):
    with pytest.raises(DataError, match=message):
        read_npz(written(**array))


def test_a_patient_is_in_one_split(written):
    patients = {
        f"{split}_patient": np.arange(12) + 100 * place
        for place, split in enumerate(("train", "val", "test"))
    }
    read_npz(written(**patients))
    with pytest.raises(DataError, match=r"2 patients are in train and in test, the first is 3"):
        read_npz(written(**{**patients, "test_patient": np.array([3, 4] * 6)}))


def test_each_client_is_a_site():
    divided = partition(LABELS, 3, "site", sites=Sites.of(SITES))
    assert [shard.tolist() for shard in divided.shards] == [[1, 4, 7, 10], [0, 3, 6, 9], [2, 5, 8, 11]]
    assert (divided.method, divided.settings) == ("site", {"names": ["Aarau", "Bern", "Chur"]})


def test_another_number_of_clients_is_refused_with_the_number_to_set():
    with pytest.raises(DataError, match=r"3 sites \(Aarau, Bern, Chur\) .*set federation.clients = 3"):
        partition(LABELS, 10, "site", sites=Sites.of(SITES))
    with pytest.raises(DataError, match="train_site"):
        partition(LABELS, 3, "site")
    assert BySite().NEEDS_SITES


def test_a_study_takes_the_sites_of_its_file(written):
    path = str(written(train_site=SITES))
    study = Study.of(Experiment.of(data__name=path, data__partition="site", federation__clients=3))
    assert study.partition.sizes.tolist() == [4, 4, 4]
    assert len(study.shard(0)) == 4
    with pytest.raises((ConfigError, DataError), match=r"federation\.clients = 3"):
        Study.of(Experiment.of(data__name=path, data__partition="site", federation__clients=2)).partition  # noqa: B018
