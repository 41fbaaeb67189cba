import hashlib
import http.server
import io
import os
import socket
import threading

import medmnist as package
import numpy as np
import pytest

from fedrobust.data import medmnist
from fedrobust.data.dataset import DataError
from fedrobust.data.load import load

ROOT = os.environ.get("FEDROBUST_DATA")
real = pytest.mark.skipif(not ROOT, reason="FEDROBUST_DATA is not set: no real data here")


def archive(size=28):
    """A BreastMNIST of eight images in the published layout."""
    rng = np.random.default_rng(0)
    arrays = {}
    for name, number in (("train", 4), ("val", 2), ("test", 2)):
        arrays[f"{name}_images"] = rng.integers(0, 256, (number, size, size), np.uint8)
        arrays[f"{name}_labels"] = (np.arange(number) % 2).astype(np.uint8)[:, None]
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def md5(contents):
    return hashlib.md5(contents, usedforsecurity=False).hexdigest()


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """Data roots that are empty, and no way around the loopback interface."""
    monkeypatch.delenv("FEDROBUST_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path


@pytest.fixture
def publish(monkeypatch):
    """Replace what the package says about BreastMNIST."""

    def change(**fields):
        monkeypatch.setitem(package.INFO, "breastmnist", package.INFO["breastmnist"] | fields)
        monkeypatch.setattr(medmnist, "SHA256", {})

    return change


@pytest.fixture
def served(nowhere):
    """A web server on the loopback interface: a mapping from path to contents, and its address."""
    files = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            contents, length = files.get(self.path, (None, 0))
            self.send_response(404 if contents is None else 200)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(contents or b"")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield files, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(timeout=10)


def test_downloads_checks_and_loads(served, publish, nowhere):
    files, address = served
    contents = archive()
    files["/b.npz"] = (contents, len(contents))
    publish(url=f"{address}/b.npz", MD5=md5(contents))
    root = nowhere / "data"
    dataset = load("BreastMNIST", root=root)
    assert [path.name for path in root.iterdir()] == ["breastmnist.npz"]
    assert (root / "breastmnist.npz").read_bytes() == contents
    assert len(dataset.train) == 4
    files.clear()
    assert load("breastmnist", root=root).digest == dataset.digest


def test_downloads_a_larger_size_into_the_folder_of_the_variable(served, publish, nowhere, monkeypatch):
    files, address = served
    contents = archive(64)
    files["/b64.npz"] = (contents, len(contents))
    publish(url_64=f"{address}/b64.npz", MD5_64=md5(contents))
    monkeypatch.setenv("FEDROBUST_DATA", str(nowhere / "variable"))
    assert load("breastmnist", 64).image_shape == (64, 64, 1)
    assert (nowhere / "variable" / "breastmnist_64.npz").is_file()


def test_a_root_that_cannot_be_made_is_passed_over(served, publish, nowhere):
    files, address = served
    contents = archive()
    files["/b.npz"] = (contents, len(contents))
    publish(url=f"{address}/b.npz", MD5=md5(contents))
    (nowhere / "file").touch()
    load("breastmnist", root=nowhere / "file")
    assert (nowhere / "home" / ".medmnist" / "breastmnist.npz").is_file()


@pytest.mark.parametrize("kept", [1.0, 0.5])
def test_a_wrong_or_interrupted_download_leaves_nothing_behind(served, publish, nowhere, kept):
    files, address = served
    contents = archive()
    files["/b.npz"] = (contents[: int(kept * len(contents))], len(contents))
    expected = "0" * 32 if kept == 1.0 else md5(contents)
    publish(url=f"{address}/b.npz", MD5=expected)
    with pytest.raises(DataError) as refusal:
        load("breastmnist", root=nowhere / "data")
    for word in (f"{address}/b.npz", expected, "nothing was kept"):
        assert word in str(refusal.value)
    assert list((nowhere / "data").iterdir()) == []


@pytest.mark.parametrize("answer", ["nobody listens", "not found"])
def test_offline_names_file_md5_address_and_every_folder(answer, served, publish, nowhere):
    with socket.socket() as taken:
        # Bound but not listening: whoever connects is turned away at once.
        taken.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{taken.getsockname()[1]}/b.npz"
        url = closed if answer == "nobody listens" else f"{served[1]}/none.npz"
        publish(url=url)
        with pytest.raises(DataError) as refusal:
            load("breastmnist", root=nowhere / "data")
    home = nowhere / "home" / ".medmnist"
    folders = [nowhere / "data", nowhere / "data" / "medmnist", home, home / "medmnist"]
    for word in (
        "breastmnist.npz",
        "750601b1f35ba3300ea97c75c52ff8f6",
        url,
        "download failed",
        *map(str, folders),
    ):
        assert word in str(refusal.value)
    assert list((nowhere / "data").iterdir()) == []


@pytest.mark.parametrize("below", ["", "medmnist"])
def test_another_file_of_that_name_is_refused_but_may_be_used_by_its_path(nowhere, below):
    contents = archive()
    folder = nowhere / "data" / below
    folder.mkdir(parents=True)
    path = folder / "breastmnist.npz"
    path.write_bytes(contents)
    with pytest.raises(DataError) as refusal:
        load("breastmnist", root=nowhere / "data")
    for word in (str(path), md5(contents), "750601b1f35ba3300ea97c75c52ff8f6", f'data.name = "{path}"'):
        assert word in str(refusal.value)
    assert len(load(str(path)).train) == 4


def test_the_tables_line_about_torch_is_not_printed(capsys):
    medmnist.table()
    assert capsys.readouterr().out == ""


def test_sizes_that_do_not_exist_are_refused(nowhere):
    with pytest.raises(DataError, match=r"data.size = 32: MedMNIST has 28, 64, 128, 224"):
        load("breastmnist", 32)


def test_every_set_is_published_with_files_of_every_size():
    for name in medmnist.NAMES:
        about = medmnist.published(name)
        assert set(about.files) == {28, 64, 128, 224}
        for size, (url, expected) in about.files.items():
            assert url.endswith(f"/{medmnist.file_name(name, size)}?download=1")
            assert len(expected) == 32
        assert max(medmnist.DISEASE.get(name, (0,))) < len(about.label_names)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("breastmnist", ["malignant"]),
        ("pneumoniamnist", ["pneumonia"]),
        ("octmnist", ["choroidal neovascularization", "diabetic macular edema", "drusen"]),
        ("pathmnist", ["cancer-associated stroma", "colorectal adenocarcinoma epithelium"]),
        (
            "dermamnist",
            ["actinic keratoses and intraepithelial carcinoma", "basal cell carcinoma", "melanoma"],
        ),
    ],
)
def test_disease_labels_bear_the_names_of_diseases(name, words):
    names = medmnist.published(name).label_names
    assert [names[label] for label in medmnist.DISEASE[name]] == words


def test_chest_is_multi_label_and_retina_has_grades():
    assert medmnist.published("chestmnist").task == "multi-label, binary-class"
    assert medmnist.published("retinamnist").task == "ordinal-regression"


@real
def test_the_published_breastmnist():
    dataset = load("breastmnist")
    assert [len(split) for split in dataset.splits.values()] == [546, 78, 156]
    assert dataset.test.counts(2).tolist() == [42, 114]
    assert dataset.image_shape == (28, 28, 1)
    assert dataset.label_names[dataset.disease[0]] == "malignant"
    assert dataset.licence == "CC BY 4.0"


@real
def test_the_published_pneumoniamnist():
    dataset = load("PneumoniaMNIST")
    assert [len(split) for split in dataset.splits.values()] == [4708, 524, 624]
    assert dataset.test.counts(2).tolist() == [234, 390]
    assert dataset.disease == (1,)


@real
def test_a_published_file_read_as_an_own_one_has_the_same_digest():
    assert load("breastmnist.npz").digest == load("breastmnist").digest


def test_a_file_with_the_published_md5_and_another_sha256_is_refused(
    served, publish, nowhere, monkeypatch, tmp_path
):
    """Two files of one MD5 can be made: where the SHA-256 is known, it decides, of a download and of what is there."""
    files, address = served
    contents = archive()
    files["/breastmnist.npz"] = (contents, len(contents))
    publish(url=f"{address}/breastmnist.npz", MD5=md5(contents))
    sums = {"breastmnist.npz": hashlib.sha256(b"the published file").hexdigest()}
    monkeypatch.setattr(medmnist, "SHA256", sums)
    with pytest.raises(DataError, match=r"SHA-256 .*it has the published MD5, and is not the published file"):
        load("breastmnist")
    assert not list((tmp_path / "home").rglob("*.npz")), "nothing was kept"
    (tmp_path / "breastmnist.npz").write_bytes(contents)
    for name in ("breastmnist", str(tmp_path / "breastmnist.npz")):
        with pytest.raises(DataError, match="SHA-256"):
            load(name, root=tmp_path)
    sums["breastmnist.npz"] = hashlib.sha256(contents).hexdigest()
    assert load("breastmnist", root=tmp_path).name == "breastmnist"
