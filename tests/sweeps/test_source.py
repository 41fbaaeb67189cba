"""What a sweep's folder keeps to resume it."""

import json

from fedrobust.sweeps.source import SweepSource
from fedrobust.sweeps.sweep import Sweep


def test_a_sweep_over_a_runs_study_is_resumed_with_the_files_of_that_study(tmp_path):
    study, run, out = (tmp_path / name for name in ("study", "run", "out"))
    for folder in (study, run, out):
        folder.mkdir()
    path = run / "experiment.toml"
    path.write_text('name = "one"\n[federation]\nclients = 4\n')
    (run / "base.json").write_text(json.dumps({"folder": str(study)}))
    begun = Sweep.load(path, ["seed=[0, 1]"])
    SweepSource.of(path, begun, ["seed=[0, 1]"], (), "").write(out)
    resumed = SweepSource.read(out).sweep(out)
    assert {cell.experiment.base for cell in resumed.cells} == {str(study)}
    assert [cell.hash for cell in resumed.cells] == [cell.hash for cell in begun.cells]
