from pathlib import Path

import pytest

from fedrobust.data.dataset import DataError
from fedrobust.data.search_path import folders, resolve, roots, seen_from


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A folder each for the study, the working directory, the explicit root, the variable and the home."""
    made = {name: tmp_path / name for name in ("base", "cwd", "root", "variable", "home")}
    for folder in made.values():
        (folder / "medmnist").mkdir(parents=True)
    monkeypatch.setenv("FEDROBUST_DATA", str(made["variable"]))
    monkeypatch.setenv("HOME", str(made["home"]))
    monkeypatch.chdir(made["cwd"])
    return made


def test_roots_are_searched_in_order(places):
    home = places["home"] / ".medmnist"
    assert roots(places["root"]) == (places["root"], places["variable"], home)
    assert roots() == (places["variable"], home)
    assert folders()[:2] == (places["variable"], places["variable"] / "medmnist")


def test_roots_without_the_variable(places, monkeypatch):
    monkeypatch.delenv("FEDROBUST_DATA")
    assert roots() == (places["home"] / ".medmnist",)


def test_a_relative_path_is_found_in_the_first_place_that_has_it(places):
    order = [
        places["base"],
        places["cwd"],
        places["root"],
        places["root"] / "medmnist",
        places["variable"],
        places["variable"] / "medmnist",
    ]
    for folder in reversed(order):
        (folder / "a.npz").touch()
        assert resolve("a.npz", places["base"], places["root"]) == folder / "a.npz"


def test_an_absolute_path_and_one_from_home_are_taken_as_they_are(places):
    (places["home"] / "mine.npz").touch()
    assert resolve(places["home"] / "mine.npz") == places["home"] / "mine.npz"
    assert resolve("~/mine.npz") == places["home"] / "mine.npz"
    with pytest.raises(DataError, match="no such file"):
        resolve(places["home"] / "other.npz", places["base"])


def test_a_missing_file_names_every_place(places):
    with pytest.raises(DataError) as refusal:
        resolve(Path("weights/x.h5"), places["base"], places["root"])
    for place in (places["base"], places["cwd"], *folders(places["root"])):
        assert str(place) in str(refusal.value)
    assert "weights/x.h5" in str(refusal.value)


def test_a_user_without_a_home_folder(monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", nowhere)
    monkeypatch.delenv("FEDROBUST_DATA", raising=False)
    assert roots() == ()
    assert [path.as_posix() for path in roots("/srv/images")] == ["/srv/images"]
    with pytest.raises(DataError, match="no such user"):
        roots("~nobody-of-this-name")


def test_a_study_in_another_folder_names_the_file_that_was_read(tmp_path, monkeypatch):
    here, studies = tmp_path / "here", tmp_path / "studies"
    for folder in (here, studies):
        folder.mkdir()
    monkeypatch.chdir(here)
    (here / "mine.npz").touch()
    for other in (False, True):  # and where the study's folder has another file of that name
        if other:
            (studies / "mine.npz").touch()
        named = seen_from(studies, "mine.npz")
        assert resolve(named, base=studies).samefile(here / "mine.npz")
    assert seen_from(here, "mine.npz") == "mine.npz"
    assert seen_from(studies, str(here / "mine.npz")) == str(here / "mine.npz")
    assert seen_from(studies, "breastmnist") == "breastmnist"
    monkeypatch.setenv("FEDROBUST_DATA", str(here))
    monkeypatch.chdir(tmp_path)
    (studies / "mine.npz").unlink()
    assert seen_from(studies, "mine.npz") == "mine.npz"
