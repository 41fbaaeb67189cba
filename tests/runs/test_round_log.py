"""The log of a run's rounds: what it holds, what a checkpoint finds in it, and what damage to it costs."""

import hashlib
import itertools
import json
import warnings

import numpy as np
import pytest

from fedrobust.models.layout import Weights
from fedrobust.runs.checkpoint import Checkpoint, CheckpointNotice, discard_checkpoints
from fedrobust.runs.folder import RunFolder, RunFolderError
from fedrobust.runs.record import ClientsRecord, RoundRecord
from fedrobust.runs.round_log import LOG, Mark, RoundLog

VECTOR = np.arange(4, dtype=np.float32)


def record(number, **parts):
    return RoundRecord(round=number, clients=ClientsRecord(sampled=3, loss=0.1 * number), **parts)


def records(*numbers):
    return [record(number) for number in numbers]


def test_it_reads_like_the_tuple_of_its_records(tmp_path):
    log = RoundLog.of(RunFolder(tmp_path), records(1, 2, 3))
    log.append(record(4, kept="round 4: näher"))
    whole = (*records(1, 2, 3), record(4, kept="round 4: näher"))
    assert tuple(log) == whole
    assert (log[0], log[-1], log[1:3], len(log)) == (whole[0], whole[3], whole[1:3], 4)
    assert list(reversed(log)) == list(reversed(whole))
    with pytest.raises(IndexError):
        log[4]
    lines = (tmp_path / LOG).read_bytes()
    assert [json.loads(line) for line in lines.splitlines()] == [one.plain for one in whole]
    assert log.mark == Mark(4, len(lines), hashlib.sha256(lines).hexdigest())
    assert RoundLog.of(RunFolder(tmp_path), ()).mark == Mark() == Mark(0, 0, hashlib.sha256(b"").hexdigest())


def test_a_long_log_is_read_at_every_place(tmp_path):
    whole = tuple(records(*range(1, 151)))
    log = RoundLog.of(RunFolder(tmp_path), whole[:100])
    for one in whole[100:]:
        log.append(one)
    assert [log[place] for place in range(-150, 150)] == [*whole, *whole]
    assert tuple(log) == whole
    ends = (None, -151, -64, -1, 0, 1, 63, 64, 65, 128, 149, 150, 200)
    for start, stop, step in itertools.product(ends, ends, (None, 1, 2, 63, 64, 200, -1, -3, -64)):
        assert log[start:stop:step] == whole[start:stop:step], (start, stop, step)


def test_a_log_keeps_no_records_in_memory(tmp_path):
    import tracemalloc

    log = RoundLog.of(RunFolder(tmp_path), records(1))
    log.append(record(2))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(3, 1003):
        log.append(record(number))
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 4000, "a record takes 2,500 bytes and more, and the place of its line eight"


def test_a_run_goes_on_after_its_checkpoint_and_later_records_go(tmp_path):
    folder = RunFolder(tmp_path)
    log = RoundLog.of(folder, records(1, 2))
    mark, before = log.mark, (tmp_path / LOG).read_bytes()
    log.append(record(3))
    with (tmp_path / LOG).open("ab") as file:
        file.write(b'{"round": 4, "cli')  # the process was killed while it wrote
    again = RoundLog.continued(folder, mark)
    assert again.mark == mark
    assert (tmp_path / LOG).read_bytes() == before
    assert list(mark.records(folder)) == list(again) == records(1, 2)
    again.publish()
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def saved(folder, log, number):
    tail = [record(number).plain]
    Checkpoint(
        number, Weights(VECTOR, VECTOR), Weights(VECTOR, VECTOR), 0.5, "", {"rounds": tail}, log=log.mark
    ).save(folder)
    log.append(record(number))
    folder.append_line("metrics.jsonl", record(number).plain)


@pytest.fixture
def run(tmp_path):
    """The folder of a run that was killed after round 4."""
    folder = RunFolder(tmp_path)
    log = RoundLog.of(folder, ())
    for number in range(1, 5):
        saved(folder, log, number)
    return folder


def test_a_checkpoint_holds_one_round_whatever_came_before(run):
    four = Checkpoint.latest(run)
    assert four.result == {"rounds": [record(4).plain]}
    assert (four.log.rounds, list(four.rounds(run))) == (3, records(1, 2, 3, 4))
    sizes = {path.stat().st_size for path in run.file("checkpoints").glob("round-*.npz")}
    assert max(sizes) - min(sizes) < 64


def test_a_damaged_log_is_restored_from_the_metrics(run):
    path = run.file(LOG)
    whole = path.read_bytes()
    for place in range(0, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = Checkpoint.latest(run)
        assert list(found.rounds(run)) == records(1, 2, 3, 4), place
    path.unlink()
    assert list(RoundLog.continued(run, found.log)) == records(1, 2, 3)


def test_metrics_that_somebody_changed_do_not_matter(run):
    run.write_text("metrics.jsonl", "mine\n")
    assert Checkpoint.latest(run).round == 4
    RoundLog.continued(run, Checkpoint.latest(run).log).publish()
    lines = run.file("metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["round"] for line in lines] == [1, 2, 3]


def test_damage_to_the_end_of_both_costs_a_round(run):
    lines = run.file(LOG).read_bytes().splitlines(keepends=True)
    for name in (LOG, "metrics.jsonl"):
        run.file(name).write_bytes(b"".join(lines[:2]) + lines[2][:-9])
    with pytest.warns(
        CheckpointNotice, match=r"round-000004\.npz: cannot be used .*first 3 rounds: they were"
    ):
        assert Checkpoint.latest(run).round == 3


def test_damage_to_the_start_of_both_is_refused_in_a_sentence(run):
    for name in (LOG, "metrics.jsonl"):
        run.file(name).write_bytes(b"[" + run.file(name).read_bytes()[1:])
    with (
        pytest.warns(CheckpointNotice, match="they were changed"),
        pytest.raises(RunFolderError, match="none of its checkpoints can be used"),
    ):
        Checkpoint.latest(run)


def test_a_checkpoint_of_the_second_schema_holds_all_its_rounds(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    rounds = [one.plain for one in records(1, 2)]
    monkeypatch.setattr("fedrobust.runs.checkpoint.SCHEMA", 2)
    Checkpoint(2, Weights(VECTOR, VECTOR), Weights(VECTOR, VECTOR), 0.5, "", {"rounds": rounds}).save(folder)
    monkeypatch.undo()
    found = Checkpoint.latest(folder)
    assert found.log == Mark()
    assert list(found.rounds(folder)) == records(1, 2)


def test_a_finished_run_has_no_log(run):
    discard_checkpoints(run)
    assert not run.file("checkpoints").exists()
