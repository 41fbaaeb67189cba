"""What trackers log is what `result.json` holds; a fault of a callback or a tracker costs no round."""

import json
import math
import struct

import pytest

import fedrobust
from fedrobust.config import ConfigError
from fedrobust.runs.callbacks import CallbackNotice
from fedrobust.runs.events import StudyFinished, StudyResumed, StudyStarted
from fedrobust.runs.record import RoundRecord
from fedrobust.spec import SpecError
from fedrobust.tracking.scalars import final_scalars, round_scalars
from fedrobust.tracking.trackers.tensorboard import TensorBoard
from fedrobust.tracking.watching import watching

TINY = {
    "data__samples": 100,
    "model__image_size": 28,
    "federation__clients": 3,
    "federation__rounds": 2,
    "federation__aggregator": "median",
    "poisoning__attack": "sign-flip",
    "poisoning__malicious": 1,
    "evaluation__epsilons": ["4/255"],
    "evaluation__examples": 0,
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
    "output__report": False,
}


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A run with two callbacks, of which one fails in round 1, and TensorBoard: the run, records, calls, notices."""
    seen, calls = [], []

    def broken(record):
        calls.append(record.round)
        raise LookupError("no such table")

    with pytest.warns(CallbackNotice) as notices:
        run = fedrobust.run(
            out=tmp_path_factory.mktemp("watched") / "run",
            callbacks=[broken, seen.append],
            log=["tensorboard"],
            **TINY,
        )
    return run, seen, calls, [str(each.message) for each in notices if each.category is CallbackNotice]


def test_a_callback_gets_the_record_of_every_round(watched):
    run, seen, _, _ = watched
    assert all(isinstance(record, RoundRecord) for record in seen)
    assert [record.plain for record in seen] == run.result["rounds"]


def test_a_callback_that_fails_is_named_not_called_again_and_costs_no_round(watched):
    run, _, calls, notices = watched
    assert calls == [1]
    assert run.status == "finished"
    assert len(notices) == 1
    assert "broken failed after round 1: LookupError: no such table" in notices[0]
    assert "test_trackers.py, line" in notices[0]


@pytest.mark.slow
def test_callbacks_are_called_on_ray_as_well(watched, tmp_path):
    seen = []
    fedrobust.run(
        out=tmp_path / "run", callbacks=[seen.append], engine__name="ray", engine__workers=1, **TINY
    )
    assert [one.clean for one in seen] == [one.clean for one in watched[1]]


@pytest.mark.slow
def test_a_callback_can_stop_a_run_which_is_resumed_with_callbacks(tmp_path):
    def stop(record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fedrobust.run(out=tmp_path / "run", callbacks=[stop], **TINY)
    rest = []
    run = fedrobust.resume(tmp_path / "run", callbacks=[rest.append])
    assert [record.round for record in rest] == [2]
    assert run.status == "finished"


def events_of(folder):
    """Return what TensorBoard's files hold: tag -> step -> value, and tag -> text."""
    import tensorflow as tf

    scalars, texts = {}, {}
    files = sorted(map(str, folder.glob("events.out.tfevents.*")))
    for record in tf.data.TFRecordDataset(files):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            held = tf.make_ndarray(value.tensor)
            if value.metadata.plugin_data.plugin_name == "scalars":
                scalars.setdefault(value.tag, {})[event.step] = float(held)
            else:
                texts[value.tag] = held.item().decode()
    return scalars, texts


def test_tensorboards_files_hold_the_figures_of_the_record(watched):
    run = watched[0]
    scalars, texts = events_of(run.path / "tensorboard")
    for number, one in enumerate(run.result["rounds"], 1):
        assert scalars["clean/accuracy"][number] == pytest.approx(one["clean"]["accuracy"])
        assert scalars["clean/auc"][number] == pytest.approx(one["clean"]["auc"])
        attacked = one["robust"]["fgsm"]["4/255"]["accuracy"]
        assert scalars["robust/fgsm/4/255/accuracy"][number] == pytest.approx(attacked)
        assert scalars["clients/loss"][number] == pytest.approx(one["clients"]["loss"])
    final = run.result["model-evaluation"]["clean"]
    assert scalars["final/global/clean/accuracy"][2] == pytest.approx(final["accuracy"])
    low, high = final["interval"]["accuracy"]
    assert scalars["final/global/clean/interval/accuracy/low"][2] == pytest.approx(low)
    assert scalars["final/global/clean/interval/accuracy/high"][2] == pytest.approx(high)
    assert "| federation.aggregator | median |" in texts["study"]
    assert texts["status"] == "finished"


def replayed(tracker, run):
    """Let a tracker log a finished run as if it were resumed after its last round."""
    tracker(StudyStarted("tiny", str(run.path), 2, ""))
    tracker(StudyResumed(2))
    tracker(StudyFinished(run.record))


def test_a_resumed_run_is_logged_once_with_its_earlier_rounds(watched, tmp_path):
    run, tracker = watched[0], TensorBoard(str(tmp_path))
    replayed(tracker, run)
    replayed(tracker, run)
    assert len(list((tmp_path / "run").iterdir())) == 1
    assert events_of(tmp_path / "run") == events_of(run.path / "tensorboard")


@pytest.mark.slow
def test_mlflow_holds_the_figures_of_the_record(watched, tmp_path):
    pytest.importorskip("mlflow", reason="pip install 'fedrobust[mlflow]'")
    from mlflow.tracking import MlflowClient

    from fedrobust.tracking.trackers.mlflow import MLflow

    run, uri = watched[0], f"sqlite:///{tmp_path}/mlflow.db"
    replayed(MLflow(uri, "tests"), run)
    client = MlflowClient(uri)
    (logged,) = client.search_runs([client.get_experiment_by_name("tests").experiment_id])
    assert logged.info.status == "FINISHED"
    assert logged.data.params["federation.aggregator"] == "median"
    assert logged.data.tags["status"] == "finished"
    for record in run.record.rounds:
        for name, value in round_scalars(record).items():
            history = {one.step: one.value for one in client.get_metric_history(logged.info.run_id, name)}
            assert history[record.round] == value
    assert {
        name: logged.data.metrics[f"final/{name}"] for name in final_scalars(run.record)
    } == final_scalars(run.record)
    assert [one.path for one in client.list_artifacts(logged.info.run_id)] == ["result.json"]


def records_of(path):
    """Yield the records of an offline file: the log format of LevelDB after a header of 7 bytes."""
    content, place, whole = path.read_bytes(), 7, b""
    while place < len(content):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        size, kind = struct.unpack_from("<HB", content, place + 4)
        whole += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # a whole record, or the last part of one
            yield whole
            whole = b""


@pytest.mark.slow
def test_weights_and_biases_holds_the_figures_of_the_record_offline(watched):
    pytest.importorskip("wandb", reason="pip install 'fedrobust[wandb]'")
    from wandb.proto.wandb_internal_pb2 import Record

    from fedrobust.tracking.trackers.wandb import WeightsAndBiases

    run = watched[0]
    replayed(WeightsAndBiases(), run)
    (folder,) = run.path.glob("wandb/offline-run-*")
    rounds, config = [], {}
    for content in records_of(next(folder.glob("*.wandb"))):
        record = Record.FromString(content)
        if record.HasField("history"):
            rounds.append(
                {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
            )
        config.update({item.key: json.loads(item.value_json) for item in record.run.config.update})
    assert config["federation.aggregator"] == "median"
    for one, logged in zip(run.record.rounds, rounds, strict=True):
        assert {name: json.loads(logged[name]) for name in round_scalars(one)} == round_scalars(one)
    assert (folder / "files" / "result.json").read_bytes() == (run.path / "result.json").read_bytes()


def test_a_tracker_that_fails_is_named_and_closed(watched, tmp_path):
    (tmp_path / "run").write_text("no folder")
    with (
        watching([], [TensorBoard(str(tmp_path))]) as (listener,),
        pytest.warns(CallbackNotice, match="TensorBoard"),
    ):
        replayed(listener, watched[0])


def test_a_tracker_that_is_not_installed_is_refused_before_anything_runs(monkeypatch):
    from fedrobust.tracking import tracker

    monkeypatch.setattr(tracker, "find_spec", lambda _: None)
    with pytest.raises(SpecError, match=r"mlflow is not installed: pip install 'fedrobust\[mlflow\]'"):
        fedrobust.run(log="mlflow")
    with pytest.raises(ConfigError):
        tracker.check_installed("wandb", "wandb")


def test_only_finite_figures_are_logged():
    found = round_scalars(RoundRecord(round=1, seconds=math.inf, pgd_probe=0.5))
    assert "seconds" not in found
    assert found["pgd-probe"] == 0.5
