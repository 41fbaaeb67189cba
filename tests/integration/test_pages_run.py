"""The code blocks of the pages: each is run as it stands, or has a reason why not."""

import doctest
import inspect
import re
import shlex
import shutil
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_cli import fedrobust as command

import fedrobust

PROJECT = Path(__file__).parents[2]
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^( *)```(sh|python)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)

REAL = "takes minutes on a data set that has to be downloaded"
OTHERS = "needs a model, a library or a service of the reader"
RUN_ELSEWHERE = {
    "in-ten-lines.md": "integration/test_ten_lines.py",
    "deployment.md": "integration/test_deploy.py",
}
NOT_RUN = {
    ("README.md", "make install "): "installs what the tests run in",
    ("README.md", "fedrobust run breast"): REAL,
    ("README.md", "import fedrobust"): REAL,
    ("README.md", "fedrobust.run("): OTHERS,
    ("README.md", "make test"): "is the tests themselves",
    ("CONTRIBUTING.md", "make install"): "is the tests themselves",
    ("CONTRIBUTING.md", "make format lint"): "is the tests themselves",
    ("CONTRIBUTING.md", '"""The mean of the updates'): "run by tests/test_docs.py",
    ("audit.md", "fedrobust audit model.keras"): REAL,
    ("audit.md", "net = torchvision"): OTHERS,
    ("audit.md", "def predict(images)"): OTHERS,
    ("export.md", "fedrobust run breast --out"): REAL,
    ("export.md", "import fedrobust"): REAL,
    ("export.md", "unzip -p student"): "reads the file of the block above",
    ("how-to.md", "fedrobust audit theirs.keras"): OTHERS,
    ("how-to.md", "import fedrobust"): OTHERS,
    ("how-to.md", "fedrobust bench experiments/sweep.toml"): REAL,
    ("how-to.md", "fedrobust bench which-defence"): REAL,
    ("index.md", "make install "): "installs what the tests run in",
    ("install.md", "make run"): "installs what the tests run in",
    ("install.md", "printf 'torch"): "installs what the tests run in",
    ("install.md", "pip install --no-deps"): "installs what the tests run in",
    ("leakage.md", "fedrobust leakage runs/mine"): "trains shadow federations for minutes",
    ("privacy.md", "pip install"): "installs what the tests run in",
    ("results.md", "fedrobust run breast --log"): REAL,
    ("results.md", "import fedrobust\n\nfedrobust.run(\"breast\", log"): REAL,
    ("results.md", "import fedrobust\n\n\ndef show"): REAL,
    ("results.md", "fedrobust predict runs/one scan.png scans/"): "needs a DICOM file of the reader",
    ("sweeps.md", "fedrobust bench experiments/sweep.toml"): REAL,
    ("sweeps.md", "fedrobust bench which-defence"): REAL,
    ("sweeps.md", "results = fedrobust.bench(\"which-defence"): REAL,
    ("sweeps.md", "fedrobust run breast --seeds"): REAL,
    ("sweeps.md", "results = fedrobust.run_seeds"): REAL,
    ("sweeps.md", "fedrobust bench --leaderboard"): OTHERS,
    ("sweeps.md", "board = fedrobust.write_leaderboard"): OTHERS,
}  # fmt: skip


def blocks():
    """Return every block of the pages: page, language, text."""
    return [
        (page.name, found[2], textwrap.dedent(found[3]))
        for page in PAGES
        for found in BLOCK.finditer(page.read_text())
        if page.name not in RUN_ELSEWHERE
    ]


def reason(page, text):
    """Return why a block is not run; None if it is."""
    return next(
        (why for (name, begin), why in NOT_RUN.items() if name == page and text.startswith(begin)), None
    )


RUN = list(dict.fromkeys(page for page, _, text in blocks() if reason(page, text) is None))


def test_every_reason_belongs_to_a_block():
    stale = [
        (page, begin)
        for page, begin in NOT_RUN
        if not any(name == page and text.startswith(begin) for name, _, text in blocks())
    ]
    assert stale == []
    assert all(page in (PROJECT / "tests" / test).read_text() for page, test in RUN_ELSEWHERE.items())
    assert {"tutorial.md", "own-data.md", "results.md", "sweeps.md", "evasion.md"} <= set(RUN)


SMALL = """
name = "small"
data.samples = 200
model = {name = "edge-cnn", image-size = 28, batchnorm-policy = "recalibrate"}
federation = {clients = 4, rounds = 2}
evaluation = {epsilons = [0.005, "4/255"]}
audit = {epsilon = "4/255", images = 40}
"""
LEAN = {"audit__enabled": False, "distillation__enabled": False, "export__enabled": False}


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """Return a folder with what the pages presuppose: studies, two runs, a sweep, scans of two hospitals."""
    folder = tmp_path_factory.mktemp("ready")
    (folder / "experiments").mkdir()
    (folder / "experiments/breast.toml").write_text(SMALL)
    for name, more in [("one", {}), ("other", {"federation__aggregator": "median", **LEAN})]:
        fedrobust.run(folder / "experiments/breast.toml", out=folder / "runs" / name, **more)
    shutil.copy(folder / "runs/one/model.keras", folder / "model.keras")
    (folder / "rules.toml").write_text(
        SMALL.replace("rounds = 2", 'rounds = 1, aggregator = ["mean", "median"]')
        + 'seed = [0, 1]\npoisoning = {attack = "pixel-backdoor", malicious = 1}\n'
    )
    overrides = [f"{key.replace('__', '.')}=false" for key in LEAN]
    fedrobust.bench(folder / "rules.toml", out=folder / "runs/rules-sweep", overrides=overrides)
    draw, rows = np.random.default_rng(0), ["path,diagnosis"]
    for hospital in ("bern", "chur"):
        for label in ("benign", "malignant"):
            place = folder / "scans" / hospital / label
            place.mkdir(parents=True)
            for number in range(20):
                pixels = draw.integers(0, 256, (40, 50), np.uint8)
                Image.fromarray(pixels).save(place / f"{number:04}_left.png")
                rows.append(f"{hospital}/{label}/{number:04}_left.png,{label}")
    (folder / "scans.csv").write_text("\n".join(rows))
    shutil.copytree(folder / "scans/bern", folder / "lesions")
    shutil.copy(folder / "lesions/benign/0000_left.png", folder / "scan.png")
    fedrobust.import_images(folder / "scans", folder / "theirs.npz", size=28, sites=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN)
def test_the_blocks_of_a_page_run_one_after_the_other(page, ready, tmp_path, monkeypatch):
    folder = tmp_path / "here"
    shutil.copytree(ready, folder)
    monkeypatch.chdir(folder)
    images = np.random.default_rng(0).random((8, 28, 28, 1), np.float32)
    names = {"__name__": "page", "images": images, "labels": np.arange(8) % 2}
    for name, language, text in blocks():
        if name != page or reason(name, text) is not None:
            continue
        if language == "python":
            exec(compile(text, page, "exec"), names)
            continue
        for line in text.replace("\\\n", " ").replace("/data/scans", "scans").splitlines():
            words = shlex.split(line, comments=True)
            assert words[0] == "fedrobust", line
            command(*words[1:], folder=folder)


NOT_HERE = {
    "break_claim": "needs a submission",
    "certify_training": "needs a run that was trained with crfl",
    "torch_model": "needs PyTorch",
    "import_huggingface": "needs the package datasets",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", fedrobust.__all__)
def test_the_example_of_a_public_function_runs(name, ready, tmp_path, monkeypatch):
    """On small studies and drawn images, in place of the data sets that the examples name."""
    if name in NOT_HERE:
        pytest.skip(NOT_HERE[name])
    folder = tmp_path / "here"
    shutil.copytree(ready, folder)
    shutil.copytree(folder / "runs/one", folder / "runs/breast")
    monkeypatch.chdir(folder)
    names = {"fedrobust": fedrobust, "np": np, **vars(fedrobust.api)}
    for example in doctest.DocTestParser().get_examples(inspect.getdoc(getattr(fedrobust, name))):
        source = example.source.replace('"breast"', '"experiments/breast.toml"').replace(
            "breastmnist", "phantom"
        )
        source = source.replace("groups=5", "groups=3")  # of the four clients here
        exec(compile(source.replace('"images/"', '"scans"'), name, "exec"), names)
