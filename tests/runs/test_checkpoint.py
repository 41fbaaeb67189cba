"""Checkpoints that something happened to: taken as they were written, or not at all."""

import json
import os
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fedrobust.atomic import atomic, sweep
from fedrobust.models.layout import Weights
from fedrobust.runs import checkpoint as module
from fedrobust.runs.checkpoint import Checkpoint, CheckpointNotice, any_whole, discard_checkpoints
from fedrobust.runs.folder import RunFolder, RunFolderError

HERE = Path(__file__).resolve().parents[2] / "experiments/reliability"


@pytest.fixture
def trial():
    """The measuring program, as a module."""
    sys.path.insert(0, str(HERE))
    import checkpoints

    yield checkpoints
    sys.path.remove(str(HERE))
    for name in ("checkpoints", "damage"):
        sys.modules.pop(name, None)


def saved(folder: Path, *rounds: int, **changes) -> list[Path]:
    vector = np.arange(8, dtype=np.float32)
    given = {"score": 0.5, "base": "", "result": {"rounds": []}, **changes}
    return [
        Checkpoint(round, Weights(vector, vector), Weights(vector, vector), **given).save(RunFolder(folder))
        for round in rounds
    ]


def round_of(folder: Path) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointNotice)
        return Checkpoint.latest(RunFolder(folder)).round


def test_a_checkpoint_comes_back_to_the_bit(trial, tmp_path):
    wanted = trial.checkpoint(3)
    path = wanted.save(RunFolder(tmp_path))
    assert trial.content(Checkpoint.latest(RunFolder(tmp_path))) == trial.content(wanted)
    with np.load(path) as archive:
        assert set(archive.files) >= {"head", "trainable", "memory/rule/last"}, "any program can open it"


def test_damage_of_every_kind_is_seen_and_the_one_before_is_used(trial, tmp_path):
    rows = trial.tried(260, seed=5, scratch=tmp_path)
    assert len({row["kind"] for row in rows}) > 50
    assert [row for row in rows if row["answer"] != row["wanted"]] == []


def test_what_a_digest_protects_is_every_byte(tmp_path):
    _older, newer = saved(tmp_path, 1, 2)
    whole = newer.read_bytes()
    for place in range(0, len(whole), 7):
        newer.write_bytes(whole[:place] + bytes([whole[place] ^ 0x20]) + whole[place + 1 :])
        assert round_of(tmp_path) == 1, place
    newer.write_bytes(whole)
    assert round_of(tmp_path) == 2


def test_other_things_in_a_checkpoints_place(tmp_path):
    _older, newer = saved(tmp_path, 1, 2)
    newer.unlink()
    newer.mkdir()
    assert round_of(tmp_path) == 1
    newer.rmdir()
    os.mkfifo(newer)  # reading it would wait for ever
    assert round_of(tmp_path) == 1
    newer.unlink()
    newer.write_bytes(b"")
    assert round_of(tmp_path) == 1
    newer.unlink()
    newer.symlink_to(tmp_path / "nowhere")
    assert round_of(tmp_path) == 1


def test_a_checkpoint_under_anothers_name_is_not_taken_for_it(tmp_path):
    older, newer = saved(tmp_path, 1, 2)
    newer.write_bytes(older.read_bytes())
    with pytest.warns(CheckpointNotice, match="it is of round 1"):
        assert Checkpoint.latest(RunFolder(tmp_path)).round == 1


def test_schemas_that_are_not_known_are_refused_in_a_sentence(tmp_path, monkeypatch):
    saved(tmp_path, 1)
    monkeypatch.setattr(module, "SCHEMA", 3)
    saved(tmp_path, 2)
    monkeypatch.undo()
    with pytest.warns(CheckpointNotice, match="schema 3, this version of fedrobust reads 2"):
        assert Checkpoint.latest(RunFolder(tmp_path)).round == 1
    for path in tmp_path.glob("checkpoints/*"):
        with zipfile.ZipFile(path, "a") as archive:
            archive.comment = b""  # as the first version wrote them
    with (
        pytest.warns(CheckpointNotice, match="an earlier version of fedrobust wrote it"),
        pytest.raises(RunFolderError, match="none of its checkpoints can be used; start the study anew"),
    ):
        Checkpoint.latest(RunFolder(tmp_path))


def test_damaged_newer_ones_do_not_cost_the_good_one(tmp_path):
    """Two newer files that cannot be used are not the two that stay."""
    (good,) = saved(tmp_path, 1)
    for name in ("round-000002.npz", "round-000003.npz"):
        (good.parent / name).write_bytes(b"damaged")
    saved(tmp_path, 1)
    assert good.exists()
    assert round_of(tmp_path) == 1


def test_of_older_checkpoints_two_stay(tmp_path):
    saved(tmp_path, 9, 10, 11)
    assert sorted(path.name for path in tmp_path.glob("checkpoints/*")) == [
        "round-000010.npz",
        "round-000011.npz",
    ]


def test_leftovers_of_killed_processes_are_swept_and_nothing_else(tmp_path):
    def killed(path: Path) -> Path:
        with atomic(path) as draft:
            draft.write_text("half of")
            left = path.with_name(draft.name)
            os.link(draft, path.with_name("copy"))
        path.with_name("copy").rename(left)
        path.unlink()
        return left

    (tmp_path / "audit").mkdir()
    left = [killed(tmp_path / name) for name in ("result.json", "model.keras", "noending", "audit/a.b.npz")]
    kept = [
        tmp_path / name
        for name in (
            ".hidden",
            ".fedrobust-writing-notes.txt",
            "fedrobust-writing-a-abcdefgh.json",
            ".result-abcd1234.json",
        )
    ]
    for path in kept:
        path.write_text("mine")
    pointed = tmp_path / ".fedrobust-writing-link-abcdefgh.txt"
    pointed.symlink_to(kept[0])
    assert sweep(tmp_path) == 4
    assert not any(path.exists() for path in left)
    assert all(path.read_text() == "mine" for path in [*kept, pointed])


def test_what_is_not_the_runs_stays_in_the_folder_of_checkpoints(tmp_path):
    saved(tmp_path, 1, 2)
    note = tmp_path / "checkpoints" / "note.txt"
    note.write_text("mine")
    discard_checkpoints(RunFolder(tmp_path))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["note.txt"]
    note.unlink()
    discard_checkpoints(RunFolder(tmp_path))
    discard_checkpoints(RunFolder(tmp_path))
    assert not (tmp_path / "checkpoints").exists()


def test_whether_there_is_anything_to_go_on_from(tmp_path):
    assert not any_whole(RunFolder(tmp_path))
    older, newer = saved(tmp_path, 1, 2)
    assert any_whole(RunFolder(tmp_path))
    newer.write_bytes(newer.read_bytes()[:-1])
    assert any_whole(RunFolder(tmp_path)), "the one before is whole"
    older.unlink()
    assert not any_whole(RunFolder(tmp_path))


def test_numbers_that_are_none_stay_out_of_a_checkpoint(tmp_path):
    (path,) = saved(tmp_path, 1, score=-np.inf)
    assert Checkpoint.latest(RunFolder(tmp_path)).score == -np.inf
    with np.load(path) as archive:
        assert json.loads(archive["head"].tobytes())["score"] is None
