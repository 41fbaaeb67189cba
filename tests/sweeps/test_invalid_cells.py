"""Cells whose attack failed by a fault of its own: they are no result, until they are run again and finish."""

import pytest
from typer.testing import CliRunner

from fedrobust.cli import app
from fedrobust.sweeps.results import Results

FILE = """
name = "small"
[data]
samples = 120
[model]
name = "edge-cnn(width=8)"
image-size = 28
[federation]
clients = 5
rounds = 2
[poisoning]
attack = ["sign-flip", "MODULE:Boom"]
malicious = [[0, 2]]
on-failure = "mark"
[evaluation]
validation = true
epsilons = [0.005]
examples = 0
[audit]
enabled = false
[distillation]
enabled = false
[export]
enabled = false
"""

ATTACK = """
from pathlib import Path

class Boom:
    def update(self, update, context):
        if context.client_id == 2 and not Path(__file__).with_name("mended").exists():
            raise ValueError("a fault of my own")
        return -update
"""

HALVING = '[sweep.halving]\nmetric = "accuracy"\nrounds = [1]\nkeep = 0.9\n'


@pytest.mark.parametrize(
    "more", ["", pytest.param(HALVING, marks=pytest.mark.slow)], ids=["whole", "halving"]
)
def test_an_invalid_cell_is_run_again_and_the_command_fails_as_long_as_there_is_one(tmp_path, more):
    module = f"boom_{bool(more)}"  # a module is imported once in a process
    (tmp_path / f"{module}.py").write_text(ATTACK)
    (tmp_path / "sweep.toml").write_text(FILE.replace("MODULE", module) + more)

    def bench():
        arguments = ["bench", str(tmp_path / "sweep.toml"), "--out", str(tmp_path / "out"), "--workers", "1"]
        done = CliRunner().invoke(app, arguments)
        rows = Results.open(tmp_path / "out").rows()
        states = {row.settings["poisoning.attack"].partition(":")[0]: row.status for row in rows}
        return done.exit_code, states, done.output

    for told in ("2 cells, 1 at a time", "2 cells, 1 of them finished already"):
        code, states, output = bench()
        assert (code, states) == (1, {"sign-flip": "finished", module: "invalid"}), output
        assert told in output
        assert output.count("a fault of my own") == 1, "it is named, and run once in a sweep"
    (tmp_path / "mended").touch()
    code, states, output = bench()
    assert (code, set(states.values())) == (0, {"finished"}), output
    code, _, output = bench()
    assert (code, "2 of them finished already" in output) == (0, True), output
