import json

import numpy as np
import pytest

from fedrobust.edge import result as edge_result
from fedrobust.edge.interpreter import Interpreter
from fedrobust.edge.latency import Latency
from fedrobust.edge.result import measure_export
from fedrobust.evaluation.metrics import measure
from fedrobust.runs.record import ExportRecord, to_json


def test_a_result_is_that_of_the_files_own_logits(study, exported):
    result = measure_export(exported["int8"], study.logits, study.images, study.labels, runs=20)
    logits = Interpreter.open(exported["int8"]).logits(study.images)
    assert result.metrics == measure(study.labels, logits)
    assert result.agreement == np.mean(logits.argmax(axis=1) == study.logits.argmax(axis=1))
    assert result.max_logit_difference == np.abs(logits - study.logits).max()
    assert (result.format, result.file) == ("int8", "student.int8.tflite")
    assert result.bytes == len(exported["int8"].read_bytes())


def test_agreement_is_with_the_model_and_accuracy_with_the_labels(study, exported):
    # Logits turned round by one class agree on no image, whatever the labels say.
    turned = np.roll(study.logits, 1, axis=1)
    result = measure_export(exported["float32"], turned, study.images, study.labels, runs=1)
    assert result.agreement == 0.0
    assert result.accuracy == measure(study.labels, study.logits).accuracy


def test_json_is_plain_and_complete(study, exported):
    result = measure_export(exported["dynamic"], study.logits, study.images, study.labels, threads=2, runs=5)
    record = to_json(ExportRecord.of(result))
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert list(record) == [
        *("format", "file", "bytes", "accuracy", "interval"),
        *("agreement", "changed", "latency_ms", "metrics"),
    ]
    assert record["interval"] == record["metrics"]["interval"]["accuracy"]
    assert list(record["latency_ms"]) == ["p50", "p95", "threads", "runs"]
    assert (record["latency_ms"]["threads"], record["latency_ms"]["runs"]) == (2, 5)


def test_logits_of_other_images_are_refused(study, exported):
    with pytest.raises(ValueError, match=r"\(10, 3\)"):
        measure_export(exported["int8"], study.logits[:10], study.images, study.labels)


def test_a_file_is_timed_as_it_was_asked_for(study, exported, monkeypatch):
    asked = []

    def timed(interpreter, image, warmups, runs):
        asked.append((interpreter.threads, warmups, runs))
        np.testing.assert_array_equal(image, study.images[0])
        return Latency(1.0, 2.0, interpreter.threads, runs)

    monkeypatch.setattr(edge_result, "measure_latency", timed)
    for settings in ({}, {"threads": 2, "warmups": 3, "runs": 4}):
        measure_export(exported["int8"], study.logits[:5], study.images[:5], study.labels[:5], **settings)
    assert asked == [(1, 10, 200), (2, 3, 4)]
