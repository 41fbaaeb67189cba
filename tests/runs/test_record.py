"""The record of a run: what is read of old and damaged files, what is written, and the schema that says so."""

import copy
import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from fedrobust.runs.codec import entry, keys, read, reader, record, to_json
from fedrobust.runs.record import (
    AttackTableRecord,
    CardRecord,
    MetricsRecord,
    RecordError,
    RoundRecord,
    RunRecord,
    json_schema,
)

PROJECT = Path(__file__).resolve().parents[2]
GOLDEN = PROJECT / "tests/golden"
OLD = sorted((Path(__file__).parent / "old").glob("*.json"))
"""Results of runs of earlier versions, cut to a few rounds and figures."""


def golden(case: str, document: str = "result.json") -> dict[str, Any]:
    return json.loads((GOLDEN / f"{case}.json").read_text())["document"][document]


def lost(given: Any, found: Any, where: str = "") -> list[str]:
    """Return the paths of what `given` holds and `found` holds no more, or otherwise."""
    if isinstance(given, dict) and isinstance(found, dict):
        return [
            path
            for name, value in given.items()
            for path in (
                lost(value, found[name], f"{where}.{name}") if name in found else [f"{where}.{name} is lost"]
            )
        ]
    if isinstance(given, list) and isinstance(found, list) and len(given) == len(found):
        return [
            path
            for place, pair in enumerate(zip(given, found, strict=True))
            for path in lost(*pair, f"{where}[{place}]")
        ]
    return [] if given == found else [f"{where}: {given!r} became {found!r}"]


# -- Records of runs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["clean", "quickstart", "defended", "backdoored"])
def test_a_run_of_today_is_read_and_written_without_loss(case):
    content = golden(case)
    found = RunRecord.read(content).to_json()
    assert lost(content, found) == []
    jsonschema.validate(content, json_schema(RunRecord, "a run"))
    for line in golden(case, "metrics.jsonl"):
        jsonschema.validate(line, json_schema(RoundRecord, "a round"))


@pytest.mark.parametrize(
    ("document", "cls"), [("audited alone", CardRecord), ("attacked alone", AttackTableRecord)]
)
def test_an_audit_and_a_table_of_attacks_of_today_are_read_and_written_without_loss(document, cls):
    content = golden("quickstart", document)
    content["model"]["digest"] = "left out of the golden record"
    found = read(cls, content).to_json()
    assert lost(content, found) == []
    jsonschema.validate(content, json_schema(cls, document))


@pytest.mark.parametrize("path", OLD, ids=[path.stem for path in OLD])
def test_a_run_of_an_earlier_version_is_read_and_written_without_loss(path):
    content = json.loads(path.read_text())
    run = RunRecord.read(content)
    found = run.to_json()
    assert lost({**content, "audit": None, "schema": 2}, {**found, "audit": None}) == []
    jsonschema.validate(found, json_schema(RunRecord, "a run"))
    assert RunRecord.read(found) == run, "what was read once is read again as the same"


def test_there_are_old_runs_of_every_kind():
    contents = [json.loads(path.read_text()) for path in OLD]
    runs = [RunRecord.read(content) for content in contents]
    assert {run.status for run in runs} == {"finished", "stopped", "failed"}
    assert {content["audit"]["schema"] for content in contents if content.get("audit")} == {1, 2}
    assert [run.rounds[-1].unmeasured for run in runs if run.rounds[-1].unmeasured]
    assert any(run.tolerance is None for run in runs)
    assert any(run.tolerance is not None for run in runs)


def test_what_an_old_run_lacks_has_its_default():
    run = RunRecord.read(
        {"schema": 1, "rounds": [{"round": 3, "defence": {"malicious": [1]}, "clients": None}]}
    )
    (entry_,) = run.rounds
    assert (run.status, run.error, run.remarks, run.tolerance, run.model_evaluation) == (
        "unknown",
        None,
        (),
        None,
        None,
    )
    assert (entry_.defence.valid, entry_.defence.attacked, entry_.defence.partitions) == (True, False, None)
    assert (entry_.clients.sampled, entry_.clients.failures, entry_.failed) == (None, (), False)


@pytest.mark.parametrize("schema", [None, 0, 99, True, "1"])
def test_another_schema_is_refused(schema):
    with pytest.raises(RecordError, match=r"this version of fedrobust reads 1 and 2"):
        RunRecord.read({"schema": schema, "rounds": []})


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """Return a run with one value replaced."""
    content = copy.deepcopy(golden("defended"))
    holder: Any = content
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("status",), 7, "status: 7 is no text"),
        (("rounds",), {}, "rounds: {} is no list"),
        (("rounds", 1, "clean", "accuracy"), "high", r"rounds\[1\].clean.accuracy: 'high' is no number"),
        (("rounds", 1, "clean", "accuracy"), None, r"rounds\[1\].clean.accuracy: it is missing"),
        (("rounds", 0, "round"), 1.5, r"rounds\[0\].round: 1.5 is no whole number"),
        (("rounds", 0, "round"), float("nan"), r"rounds\[0\].round: nan is no whole number"),
        (("rounds", 0, "round"), True, r"rounds\[0\].round: True is no whole number"),
        (("rounds", 0, "failed"), 1, r"rounds\[0\].failed: 1 is no true or false"),
        (
            ("rounds", 1, "robust", "fgsm", "0.005", "interval", "accuracy"),
            [0.1],
            r"rounds\[1\].robust.fgsm.0.005.interval.accuracy: \[0.1\] is no list of 2",
        ),
        (("dataset", "counts", "test"), [1, "2"], r"dataset.counts.test\[1\]: '2' is no whole number"),
        (("model",), [], r"model: \[\] is no object"),
    ],
)
def test_a_value_of_another_kind_is_told_with_its_path(path, value, message):
    with pytest.raises(RecordError, match=f"^{message}$"):
        RunRecord.read(changed(path, value))


def test_unknown_keys_are_passed_over():
    content = golden("clean")
    assert RunRecord.read({**content, "of-a-later-version": {"a": 1}}) == RunRecord.read(content)


# -- Cards ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["quickstart-card-1", "recipe-card-2"])
def test_an_old_card_has_todays_shape(name):
    old = json.loads((Path(__file__).parent / f"old/{name}.json").read_text())["audit"]
    card = CardRecord.read(old)
    for part, figures in ((card.clean, old["clean"]), (card.attacked, old["attacked"])):
        assert [part.correct, part.n] == figures["accuracy"]["counts"]
        assert part.accuracy == figures["accuracy"]["value"]
        assert list(part.interval.accuracy) == figures["accuracy"]["interval"]
        assert part.constant("accuracy") == figures["accuracy"]["constant"]
        assert part.balanced_accuracy == figures["balanced accuracy"]["value"]
        assert part.constant("balanced_accuracy") == figures["balanced accuracy"]["constant"]
        assert list(part.interval.auc) == figures["auc"]["interval"]
        assert part.constant("auc") == figures["auc"]["constant"]
        assert part.recall == tuple(figures[f"recall {label}"]["value"] for label in range(len(part.recall)))
        assert part.figures["mcc"].value == figures["mcc"]["value"]
        assert list(part.figures["disease missed"].counts) == figures["disease missed"]["counts"]
        assert "accuracy" not in part.figures
    assert [card.standing.correct, card.standing.n] == old["attacked"]["standing"]["counts"]
    for row in old["curve"]:
        found = card.robust[row["attack"]][str(row["epsilon"])]
        assert (found.correct, found.n, list(found.interval.accuracy)) == (
            row["right"],
            row["n"],
            row["interval"],
        )
    assert (card.verdict.word, card.broken_by) == (old["verdict"]["word"], old["broken-by"])
    jsonschema.validate(card.to_json(), json_schema(CardRecord, "a card"))


def test_a_damaged_old_card_is_refused():
    with pytest.raises(RecordError, match="no card of schema 2"):
        CardRecord.read({"schema": 2, "clean": {"accuracy": 7}})
    with pytest.raises(RecordError, match="schema = 9: not a card of schema 1, 2, 3"):
        CardRecord.read({"schema": 9})


# -- The machinery --------------------------------------------------------------------------------------------------


def test_the_committed_schemas_and_tables_are_those_of_the_records():
    made = runpy.run_path(str(PROJECT / "docs/records.py"))
    for name, text in made["schemas"]().items():
        assert (PROJECT / "docs" / name).read_text() == text, "run `python docs/records.py`"
    page = (PROJECT / "docs/records.md").read_text()
    assert made["written"](page) == page, "run `python docs/records.py`"
    assert "| `accuracy` | number |" in page


def test_every_key_says_what_it_holds():
    made = runpy.run_path(str(PROJECT / "docs/records.py"))
    mute = [
        f"{cls.__name__}.{key.key}"
        for cls in made["records"](RunRecord, AttackTableRecord)
        for key in keys(cls)
        if not key.about
    ]
    assert mute == []


def test_a_key_that_is_left_out_is_not_required():
    @record
    class Note:
        words: str | None = entry("of it", default=None, left_out=True)
        number: int | str = entry("of it")

    assert to_json(Note(number=3)) == {"number": 3}
    schema = json_schema(Note, "a note")
    assert schema["required"] == ["number"]
    assert schema["properties"]["number"]["anyOf"] == [{"type": "integer"}, {"type": "string"}]
    assert (read(Note, {"number": "3a"}), read(Note, {"number": 3})) == (Note(number="3a"), Note(number=3))


def test_a_schema_refuses_what_a_record_cannot_hold():
    schema = json_schema(MetricsRecord, "metrics")
    whole = to_json(MetricsRecord(accuracy=0.5))
    jsonschema.validate(whole, schema)
    for key, value in (("accuracy", None), ("n", 0.5), ("recall", [True]), ("interval", {"accuracy": [1]})):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**whole, key: value}, schema)


def test_a_field_of_an_unknown_type_is_a_mistake():
    with pytest.raises(TypeError, match="a record holds numbers, texts"):
        reader(set[int])


@pytest.mark.parametrize("module", ["forecast", "codec", "json_schema", "record"])
def test_every_module_can_be_the_first_that_is_imported(module):
    subprocess.run([sys.executable, "-c", f"import fedrobust.runs.{module}"], check=True)
