"""What a study reads from files is part of its identity: weights, public images, sites, disease, names of classes."""

import numpy as np
import pytest

import fedrobust
from fedrobust.config import ConfigError, Experiment
from fedrobust.data.dataset import Dataset
from fedrobust.data.phantom import phantom
from fedrobust.runs.events import RoundFinished
from fedrobust.study import Study
from fedrobust.study.file_digests import file_digests
from fedrobust.sweeps.cell import content_hash


def images(**more: np.ndarray) -> dict[str, np.ndarray]:
    """Return the arrays of a file of images, with more of them."""
    data: Dataset = phantom(train=12, seed=0)
    splits = {"train": data.train, "val": data.validation, "test": data.test}
    pairs = {f"{name}_images": one.images for name, one in splits.items()}
    return pairs | {f"{name}_labels": one.labels for name, one in splits.items()} | more


def study(folder, **settings) -> Experiment:
    settings = {"data__name": str(folder / "mine.npz"), "federation__clients": 2} | settings
    return Experiment.of(**settings)


SITES = np.array(list("aabbccaabbcc"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"train_site": SITES}, {"train_site": SITES[::-1]}),
        ({"disease": np.array([1])}, {"disease": np.array([0])}),
        ({"label_names": np.array(["well", "ill"])}, {"label_names": np.array(["ill", "well"])}),
        ({}, {"disease": np.array([1])}),
    ],
)
def test_annotations_are_part_of_a_cells_hash(tmp_path, first, second):
    found = []
    for place, more in (("one", first), ("two", second), ("three", first)):
        (tmp_path / place).mkdir()
        np.savez(tmp_path / place / "mine.npz", **images(**more))
        one = study(tmp_path / place)
        found.append((Study.of(one).dataset.digest, file_digests(Study.of(one)), content_hash(one)))
    digests, files, hashes = zip(*found, strict=True)
    assert len(set(digests)) == 1, "images and labels are the same"
    assert files[0] == files[2] != files[1]
    assert bool(files[0]) is bool(first)
    assert hashes[0] != hashes[1]


def test_weights_and_public_images_are_part_of_a_cells_hash(tmp_path):
    np.savez(tmp_path / "mine.npz", **images())
    public, weights = tmp_path / "public.npz", tmp_path / "own.weights.h5"
    settings = {"distillation__public": str(public), "model__weights": str(weights)}
    hashes = set()
    for content in (b"one", b"another"):
        weights.write_bytes(content)
        np.savez(public, train_images=images()["train_images"])
        hashes.add(content_hash(study(tmp_path, **settings)))
        np.savez(public, train_images=images()["train_images"][:7])
        hashes.add(content_hash(study(tmp_path, **settings)))
        assert set(file_digests(Study.of(study(tmp_path, **settings)))) == {"weights", "public"}
    assert len(hashes) == 4
    unused = study(
        tmp_path, export__enabled=False, distillation__enabled=False, distillation__public=str(public)
    )
    assert file_digests(Study.of(unused)) == {}


def test_a_run_is_not_resumed_with_other_annotations(tmp_path):
    def stop(event):
        if isinstance(event, RoundFinished):
            raise KeyboardInterrupt

    np.savez(tmp_path / "mine.npz", **images(disease=np.array([1])))
    without = {f"{part}__enabled": False for part in ("audit", "distillation", "export")}
    small = study(tmp_path, federation__rounds=2, evaluation__attacks=[], evaluation__examples=0, **without)
    with pytest.raises(KeyboardInterrupt):
        fedrobust.run(small, stop, out=tmp_path / "run")
    np.savez(tmp_path / "mine.npz", **images(disease=np.array([0])))
    with pytest.raises(
        ConfigError, match=r"the disease labels or the sites in the file of images changed: digest \w"
    ):
        fedrobust.resume(tmp_path / "run")
    np.savez(tmp_path / "mine.npz", **images(disease=np.array([1])))
    run = fedrobust.resume(tmp_path / "run")
    assert set(run.result["file-digests"]) == {"annotations"}


def test_another_surrogate_under_the_same_name_is_another_cell(tmp_path):
    attacks = ["pgd", "transfer(surrogate='other.keras')", "transfer"]
    np.savez(tmp_path / "mine.npz", **images())
    (tmp_path / "study.toml").write_text(
        f"[data]\nname = 'mine.npz'\n[federation]\nclients = 2\n[evaluation]\nattacks = {attacks}\n",
        encoding="utf-8",
    )
    found = []
    for content in (b"first", b"second", b"first"):
        (tmp_path / "other.keras").write_bytes(content)
        one = Experiment.load(tmp_path / "study.toml")
        found.append((file_digests(Study.of(one))["surrogates"], content_hash(one)))
    assert found[0] == found[2]
    assert found[0][0] != found[1][0]
    assert found[0][1] != found[1][1]
