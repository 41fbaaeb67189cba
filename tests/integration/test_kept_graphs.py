"""A study on the command line: the same bits without kept graphs, when it writes them, and when it reads them."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

SETTINGS = {
    "data.samples": 120,
    "federation.clients": 3,
    "federation.rounds": 2,
    "model.name": "edge-cnn",
    "model.image-size": 28,
    "audit.enabled": "false",
    "export.enabled": "false",
    "distillation.epochs": 1,
}

RUN = "import sys\nfrom fedrobust.cli import app\ntry:\n    app()\nfinally:\n    print('keras' in sys.modules)\n"


def run(folder, cache, switch):
    """Return the digests and figures of a run, and whether it imported Keras."""
    settings = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    done = subprocess.run(
        [sys.executable, "-c", RUN, "run", *settings, "--out", str(folder)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "FEDROBUST_CACHE": str(cache), "FEDROBUST_GRAPH_CACHE": switch},
    )
    found = json.loads((folder / "result.json").read_text())
    rounds = [
        {**one, "seconds": 0, "training-seconds": 0, "clients": {**one["clients"], "seconds": 0}}
        for one in found["rounds"]
    ]
    with np.load(folder / "examples.npz") as examples:
        shown = examples["images"].tobytes()
    student = {**found["student"]["distillation"], "seconds": 0}
    told = found["model"], rounds, found["model-evaluation"], found["student"]["clean"], student, shown
    return told, done.stdout.strip().endswith("True")


@pytest.mark.slow
def test_kept_graphs_change_no_bit_and_need_no_keras(tmp_path):
    cache = tmp_path / "cache"
    without, imported = run(tmp_path / "without", cache, "off")
    assert imported
    assert not (cache / "graphs").exists()
    for name, needed in (("written", True), ("read", False)):
        told, imported = run(tmp_path / name, cache, "")
        assert told == without
        assert imported == needed, name
