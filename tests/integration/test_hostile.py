"""Whole studies with hostile clients: each costs itself its place, and nobody else anything."""

import json
import math
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from clients.app import app as honest
from fedrobust.config import Experiment
from fedrobust.engines.simulate import simulate
from fedrobust.flower.records import LiveArray
from fedrobust.runs.events import RoundFinished, StageStarted
from fedrobust.runs.record import RoundRecord

SETTINGS = {
    "data__samples": 400,
    "model__name": "edge-cnn(width=8)",
    "model__image_size": 28,
    "federation__rounds": 1,
    "federation__min_replies": 0.01,
    "training__batch_size": 16,
    "evaluation__attacks": [],
    "evaluation__epsilons": [0.005],
    "evaluation__examples": 0,
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
}
HONEST = 3


def _found_out(reply):
    raise SystemExit("found out")


class Sly(Message):
    """A reply that fails only when somebody looks into it."""

    content: Any = property(_found_out)


class SlyDict(dict):
    def items(self):
        raise KeyboardInterrupt

    def __len__(self):
        raise GeneratorExit


class SlyArray(LiveArray):
    @property
    def shape(self):
        raise MemoryError

    def numpy(self):
        raise SystemExit


class Rude(BaseException):
    def __str__(self):
        raise RecursionError("I will not be printed")


def told_by(message, context):
    """Return what an honest client would answer."""
    return honest(message, context)


def with_metrics(message, context, **metrics):
    reply = told_by(message, context)
    reply.content["metrics"] = MetricRecord({**reply.content["metrics"], **metrics})
    return reply


def raising(error):
    def answer(message, context):
        raise error

    return answer


def sly_content(message, context):
    reply = told_by(message, context)
    metrics = MetricRecord(dict(reply.content["metrics"]))
    metrics.__dict__["_data"] = SlyDict(metrics.__dict__["_data"])
    reply.content["metrics"] = metrics
    return reply


def sly_message(message, context):
    reply = told_by(message, context)
    return Sly(reply.content, reply_to=message)


def other_message(message, context):
    reply = told_by(message, context)
    reply.metadata.__dict__["_reply_to_message_id"] = "message-00000001"
    return reply


def foreign_array(message, context):
    reply = told_by(message, context)
    record = ArrayRecord({"statistics": reply.content["weights"]["statistics"]})
    record["trainable"] = SlyArray(np.array([object()]))
    reply.content["weights"] = record
    return reply


def broken_header(message, context):
    reply = told_by(message, context)
    size = reply.content["weights"]["trainable"].shape
    header = b"((((" + b" " * 55 + b"\n"
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    reply.content["weights"]["trainable"] = Array("float32", size, "numpy.ndarray", data)
    return reply


def sly_state(message, context):
    reply = told_by(message, context)
    context.state = "mine"
    return reply


def vandal(message, context):
    """Spoil the message for everybody who shares it."""
    for record in message.content.values():
        record.clear()
    message.content.clear()
    message.metadata.__dict__["_dst_node_id"] = 1
    raise OSError("done")


LONG = "\x1b]0;owned\x07\x1b[2J\x1b[31mred[/bold][red]\u202e" + "x" * 5_000_000 + "\nlast line"

# What a hostile client does, and why it is left out ("" where its reply counts).
KINDS = {
    "returns None": (lambda message, context: None, "returned nothing"),
    "returns a text": (lambda message, context: "weights", "returned a str"),
    "raises SystemExit": (raising(SystemExit(0)), "SystemExit"),
    "raises KeyboardInterrupt": (raising(KeyboardInterrupt()), "KeyboardInterrupt"),
    "raises GeneratorExit": (raising(GeneratorExit()), "GeneratorExit"),
    "raises what cannot be printed": (raising(Rude()), "Rude: <exception str() failed>"),
    "long error": (raising(OSError(LONG)), "OSError: red[/bold][red] xxx"),
    "long error reply": (
        lambda message, context: Message(Error(7, LONG), reply_to=message),
        "red[/bold][red] xxx",
    ),
    "sly message": (sly_message, ""),
    "sly content": (sly_content, ""),
    "answers another message": (other_message, "a reply to another message"),
    "foreign array": (foreign_array, "holds object"),
    "broken header": (broken_header, "trainable cannot be decoded"),
    "state": (sly_state, "a RecordDict is expected"),
    "vandal": (vandal, "OSError: done"),
    "seconds": (lambda *given: with_metrics(*given, seconds=1.7e308), ""),
    "negative seconds": (lambda *given: with_metrics(*given, seconds=-math.inf), ""),
    "loss": (lambda *given: with_metrics(*given, loss=1.7e308), ""),
    "round": (lambda *given: with_metrics(*given, round=1.0), "a reply to round 1.0: this is round 1"),
    "examples": (lambda *given: with_metrics(*given, **{"num-examples": 10**400}), "beyond 64 bits"),
}
NAMES = list(KINDS)


def hostile_app(answer_of) -> ClientApp:
    """Return an app that answers as `answer_of(partition)` says, honestly where that is None."""
    app = ClientApp()

    @app.query()
    def introduce(message: Message, context: Context) -> Message:
        return honest(message, context)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        answer = answer_of(context.node_config["partition-id"])
        return honest(message, context) if answer is None else answer(message, context)

    return app


def kind_of(partition: int):
    """The first clients are honest, one of each kind follows."""
    return KINDS[NAMES[partition - HONEST]] if partition >= HONEST else None


app = hostile_app(lambda partition: kind_of(partition) and kind_of(partition)[0])
polite_app = hostile_app(
    lambda partition: raising(OSError("ill")) if kind_of(partition) and kind_of(partition)[1] else None
)


def run(folder, app, *listeners, **settings):
    experiment = Experiment.quickstart(
        **{**SETTINGS, "federation__clients": HONEST + len(KINDS), "output__root": str(folder), **settings}
    )
    return simulate(experiment, *listeners, client_app=f"{__name__}:{app}")


@pytest.fixture(scope="module")
def heard():
    return []


@pytest.fixture(scope="module")
def hostile(tmp_path_factory, heard):
    return run(tmp_path_factory.mktemp("hostile"), "app", heard.append, engine__workers=2)


def test_every_hostile_client_costs_itself_its_place(hostile):
    clients = hostile.result["rounds"][0]["clients"]
    reasons = {failure["partition"]: failure["reason"] for failure in clients["failures"]}
    for place, name in enumerate(NAMES):
        expected = KINDS[name][1]
        reason = reasons.get(HONEST + place)
        assert (reason is None) == (expected == ""), (name, reason)
        assert expected in (reason or ""), name
    assert hostile.status == "finished"


def test_the_good_replies_of_the_round_are_kept_to_the_bit(hostile, tmp_path):
    polite = run(tmp_path, "polite_app", engine__workers=2)
    assert polite.result["model"]["digest"] == hostile.result["model"]["digest"]


def test_nothing_hostile_reaches_record_console_or_report(hostile, heard):
    text = hostile.folder.file("result.json").read_text()
    assert len(text) < 100_000
    json.loads(text, parse_constant=lambda name: pytest.fail(name))
    record = next(event.record for event in heard if isinstance(event, RoundFinished))
    reasons = [failure.reason for failure in record.clients.failures]
    assert all(reason.isprintable() and len(reason) <= 300 for reason in reasons)
    assert "owned" not in text
    assert hostile.report.exists()
    assert 0 < record.clients.seconds < 1000
    assert 0 < record.clients.loss < 10


def introduced(message, context, **hospital):
    reply = honest(message, context)
    reply.content["hospital"] = MetricRecord({**reply.content["hospital"], **hospital})
    return reply


INTRODUCTIONS: tuple[tuple[Any, str], ...] = (
    (raising(SystemExit(3)), "SystemExit: 3"),
    (lambda message, context: RecordDict(), "returned a RecordDict"),
    (lambda *given: introduced(*given, **{"step-seconds": math.nan}), "step-seconds = nan"),
    (lambda *given: introduced(*given, **{"step-seconds": 1e308}), "step-seconds = 1e+308"),
    (lambda *given: introduced(*given, **{"step-seconds": -1.0}), "step-seconds = -1.0"),
    (lambda *given: introduced(*given, **{"memory-bytes": 2**62}), "memory-bytes = 4611686018427387904"),
    (lambda *given: introduced(*given, partition=0), "client 6 introduced itself as client 0"),
    (raising(OSError("[/nonsense]\x1b[2J")), "OSError: [/nonsense]"),
)
introducing_app = ClientApp()


@introducing_app.query()
def _introduce(message: Message, context: Context) -> Message:
    partition = int(context.node_config["partition-id"])
    if partition < len(INTRODUCTIONS):
        return INTRODUCTIONS[partition][0](message, context)
    return honest(message, context)


@introducing_app.train()
def _train(message: Message, context: Context) -> Message:
    return honest(message, context)


def test_workers_get_ready_in_the_name_of_whoever_can(tmp_path):
    heard = []
    clients = len(INTRODUCTIONS) + 1
    study = run(tmp_path, "introducing_app", heard.append, federation__clients=clients, engine__workers=2)
    stages = [event.stage for event in heard if isinstance(event, StageStarted)]
    left_out = [stage for stage in stages if stage.startswith("a node is left out: ")]
    assert len(left_out) == len(INTRODUCTIONS)
    for (_, reason), stage in zip(INTRODUCTIONS, left_out, strict=True):
        assert reason in stage
        assert stage.isprintable()
    assert study.status == "finished"
    assert 0 < study.result["forecast"]["step-seconds"] < 100


FAILS = RuntimeError("all is \ud800 lost \x1b[2J" + "!" * 10**6)


def failing(loop, number, state, recorder, folder):
    odd = RoundRecord(round=1, pgd_probe=math.inf, kept={1, 2}, seconds=np.float32(np.nan))
    recorder.note(rounds=(odd,))
    raise FAILS


def test_the_handler_of_an_error_does_not_fail(monkeypatch, tmp_path):
    """What made a study fail may be in its record: it is written, and what is raised is why the study failed."""
    monkeypatch.setattr("server.rounds.RoundLoop.round", failing)
    with pytest.raises(RuntimeError) as caught:
        run(tmp_path, "polite_app", output__dir=str(tmp_path / "here"), output__report=False)
    assert caught.value is FAILS
    result = json.loads((tmp_path / "here" / "result.json").read_text())
    assert result["status"] == "failed"
    assert result["error"].startswith("RuntimeError: all is lost !!!")
    assert len(result["error"]) == 10_000
    (odd,) = result["rounds"]
    assert (odd["round"], odd["pgd-probe"], odd["kept"], odd["seconds"]) == (1, None, "a set", None)


def test_a_record_that_cannot_be_written_does_not_hide_why_a_study_failed(monkeypatch, tmp_path):
    def full(*arguments):
        raise OSError("No space left on device")

    error = RuntimeError("the first reason")
    monkeypatch.setattr("server.rounds.RoundLoop.round", lambda *arguments: raising(error)(None, None))
    monkeypatch.setattr("server.recorder.Recorder.note_status", full)
    with pytest.raises(RuntimeError) as caught:
        run(tmp_path, "polite_app")
    assert caught.value is error
    assert error.__notes__ == ["its record cannot be written: OSError: No space left on device"]


@pytest.mark.slow  # two processes that each import TensorFlow
def test_on_ray_the_same_clients_are_left_out_for_the_same_reasons(hostile, tmp_path):
    found = run(tmp_path, "app", engine__name="ray", engine__workers=2)
    here, there = (
        {each["partition"]: each["reason"] for each in study.result["rounds"][0]["clients"]["failures"]}
        for study in (hostile, found)
    )
    assert here.keys() == there.keys()
    arrays = {HONEST + NAMES.index("broken header")}
    assert all(here[place] == there[place] for place in here.keys() - arrays), (
        "bytes are read in the worker there"
    )
    assert found.result["model"]["digest"] == hostile.result["model"]["digest"]
