"""Checkpoints that something happened to: taken as they were written, or not at all."""

import hashlib
import json
import os
import re
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fedrobust.atomic import atomic, sweep
from fedrobust.config import Experiment
from fedrobust.models.layout import Weights
from fedrobust.runs import checkpoint as module
from fedrobust.runs.checkpoint import (
    Checkpoint,
    CheckpointNotice,
    DamagedError,
    any_whole,
    check_seal,
    differences,
    discard_checkpoints,
    resumable,
    seal,
)
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
    monkeypatch.setattr(module, "SCHEMA", 4)
    saved(tmp_path, 2)
    monkeypatch.undo()
    with pytest.warns(CheckpointNotice, match="schema 4, this version of fedrobust reads 2 and 3"):
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


def test_every_field_comes_back_and_the_arrays_have_these_names(tmp_path):
    def vector(start):
        return np.arange(start, start + 3, dtype=np.float32)

    given = Checkpoint(
        12,
        Weights(vector(0), vector(10)),
        Weights(vector(20), vector(30)),
        0.25,
        "/some/base",
        {"experiment": {"name": "x"}, "rounds": [1]},
        {"a": vector(40), "b/c": vector(50)},
    )
    path = given.save(RunFolder(tmp_path))
    assert path == tmp_path / "checkpoints/round-000012.npz"
    found = Checkpoint.latest(RunFolder(tmp_path))
    assert (found.round, found.score, found.base, found.result) == (12, 0.25, "/some/base", given.result)
    for wanted, back in ((given.weights, found.weights), (given.selected, found.selected)):
        assert np.array_equal(back.trainable, wanted.trainable)
        assert np.array_equal(back.statistics, wanted.statistics)
    assert found.memory.keys() == {"a", "b/c"}
    assert all(np.array_equal(found.memory[name], given.memory[name]) for name in given.memory)
    with np.load(path) as archive:
        assert archive.files == [
            "head",
            "trainable",
            "statistics",
            "memory/a",
            "memory/b/c",
            "selected_trainable",
            "selected_statistics",
        ]
        assert json.loads(archive["head"].tobytes()) == {
            "schema": 3,
            "round": 12,
            "score": 0.25,
            "base": "/some/base",
            "result": given.result,
            "log": {"rounds": 0, "size": 0, "digest": hashlib.sha256().hexdigest()},
        }


def test_the_best_weights_are_stored_once_where_they_are_the_last(tmp_path):
    weights = Weights(np.ones(2, np.float32), np.zeros(2, np.float32))
    path = Checkpoint(1, weights, weights, 1.0, "", {}).save(RunFolder(tmp_path))
    with np.load(path) as archive:
        assert archive.files == ["head", "trainable", "statistics"]
    found = Checkpoint.latest(RunFolder(tmp_path))
    assert found.selected is found.weights
    assert found.memory == {}


def test_not_numbers_are_refused_in_what_a_checkpoint_says_of_itself(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        saved(tmp_path, 1, result={"loss": float("nan")})
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_seal_is_the_digest_of_all_before_it(tmp_path):
    path = tmp_path / "big.npz"
    np.savez(path, zeros=np.zeros(2**19), ones=np.ones(2**19 + 5))
    seal(path)
    content = path.read_bytes()
    mark = b"fedrobust checkpoint, SHA-256 of all bytes before: "
    assert content[:-64].endswith(mark)
    assert content[-64:].decode() == hashlib.sha256(content[:-64]).hexdigest()
    check_seal(path)
    path.write_bytes(mark + hashlib.sha256(mark).hexdigest().encode())
    check_seal(path)


def test_what_is_wrong_with_a_file_in_which_words(tmp_path):
    def words(path):
        with pytest.raises(DamagedError) as refusal:
            check_seal(path)
        return str(refusal.value)

    assert words(tmp_path) == "not a file"
    path = tmp_path / "a.npz"
    for content in (b"", b"short", b"long" * 100):
        path.write_bytes(content)
        assert words(path) == (
            "it does not end in its digest: it is damaged, or an earlier version of fedrobust wrote it, which can "
            "still go on with it"
        )
    np.savez(path, a=np.zeros(3))
    seal(path)
    path.write_bytes(b"x" + path.read_bytes()[1:])
    assert words(path) == "damaged: its digest is that of another content"


def test_what_is_passed_over_is_said(tmp_path):
    with pytest.raises(RunFolderError) as refusal:
        Checkpoint.latest(RunFolder(tmp_path))
    assert str(refusal.value) == (
        f"{tmp_path}: cannot be resumed, it has no checkpoint; start the study anew"
    )
    _older, newer = saved(tmp_path, 1, 2)
    newer.unlink()
    newer.mkdir()
    words = f"{newer}: cannot be used (not a file): the one before it is"
    with pytest.warns(CheckpointNotice, match=f"^{re.escape(words)}$") as notices:
        Checkpoint.latest(RunFolder(tmp_path))
    assert [notice.filename for notice in notices] == [__file__], "told of where it was asked for"


def test_only_names_of_checkpoints_are_taken_for_some(tmp_path):
    saved(tmp_path, 999_999, 1_000_000)
    (tmp_path / "other").mkdir()
    (good,) = saved(tmp_path / "other", 5)
    for name in ("round-5.npz", "round-00005.npz", "round-1000001.npz.npz", "round-000000x.npz"):
        (tmp_path / "checkpoints" / name).write_bytes(good.read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Checkpoint.latest(RunFolder(tmp_path)).round == 1_000_000, "longer names are newer"
    discard_checkpoints(RunFolder(tmp_path))
    assert len(list((tmp_path / "checkpoints").iterdir())) == 4


def test_a_checkpoint_of_the_state_before_round_1(tmp_path):
    saved(tmp_path, 0)
    assert Checkpoint.latest(RunFolder(tmp_path)).round == 0


def test_a_run_goes_on_in_its_own_folder(tmp_path):
    study = Experiment.of(["federation.rounds=7"])
    (tmp_path / "experiment.toml").write_text(study.to_toml())
    saved(tmp_path, 1, base=str(tmp_path / "base"))
    found = resumable(RunFolder(tmp_path))
    assert found.base == str(tmp_path / "base")
    assert (found.output.dir, found.output.resume) == (str(tmp_path), True)
    assert found.federation.rounds == 7


def test_the_keys_in_which_two_studies_differ():
    study = Experiment.of()
    weights = Weights(np.zeros(1), np.zeros(1))

    def before(**changes):
        return Checkpoint(1, weights, weights, 0.0, "", {"experiment": {**study.to_dict(), **changes}})

    assert differences(before(), study.to_dict()) == []
    assert differences(before(engine={"workers": 99}, output={"dir": "x"}), study.to_dict()) == []
    assert differences(before(name="another"), study.to_dict()) == ["name"]
    federation = {**study.to_dict()["federation"], "rounds": 999, "unknown": 1}
    assert differences(before(name="another", federation=federation), study.to_dict()) == [
        "federation.rounds",
        "federation.unknown",
        "name",
    ]
    del federation["participation"], federation["unknown"]
    assert differences(before(federation=federation), study.to_dict()) == ["federation.rounds"]
    other = Experiment.of(federation__rounds=999, federation__participation=0.5).to_dict()
    assert differences(before(federation=federation), other) == ["federation.participation"]
