"""Write the tables of keys into `docs/records.md`, and the JSON schemas beside it: `python docs/records.py`."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from fedrobust.leaderboard.claim import ClaimRecord
from fedrobust.runs.codec import Key, keys
from fedrobust.runs.record import AttackTableRecord, CardRecord, RoundRecord, RunRecord, json_schema
from fedrobust.runs.record.export import ExportResultRecord
from fedrobust.runs.record.leakage import LeakageRecord

FOLDER = Path(__file__).parent
PAGE = FOLDER / "records.md"
MARKED = re.compile(r"(<!-- keys: .*? -->\n).*?(<!-- end of keys -->)", re.DOTALL)
SCHEMAS = {
    "result.schema.json": (RunRecord, "result.json: what a run of fedrobust found"),
    "card.schema.json": (CardRecord, "card.json: an audit by fedrobust"),
    "export.schema.json": (ExportResultRecord, "export.json: a model exported for devices by fedrobust"),
    "leakage.schema.json": (LeakageRecord, "leakage.json: attacks on the privacy of a run by fedrobust"),
    "claim.schema.json": (ClaimRecord, "claim.json: what a defence holds in one setting, by fedrobust"),
    "attack.schema.json": (AttackTableRecord, "attack.json: a model under the attacks of fedrobust"),
}
WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false", Any: "anything"}


def called(kind: Any) -> str:
    """Return a type in words, with links to the tables of records."""
    if kind in WORDS:
        return WORDS[kind]
    if is_dataclass(kind):
        name = kind.__name__  # type: ignore[union-attr]
        return f"[{name}](#{name.lower()})"
    arguments = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return " or ".join("null" if each is type(None) else called(each) for each in arguments)
    if get_origin(kind) is tuple:
        return (
            f"list of {called(arguments[0])}"
            if arguments[-1] is Ellipsis
            else f"[{', '.join(map(called, arguments))}]"
        )
    assert issubclass(get_origin(kind), Mapping)
    return f"object of {called(arguments[1])}"


def records(*roots: type) -> list[type]:
    """Return the records that `roots` are made of, each after the first that holds it."""
    found = list(roots)
    for each in found:
        found += [held for key in keys(each) for held in within(key.kind) if held not in found]
    return list(dict.fromkeys(found))


def within(kind: Any) -> Iterator[type]:
    """Yield the records in a type."""
    if is_dataclass(kind):
        yield kind  # type: ignore[misc]
    for each in get_args(kind):
        yield from within(each)


def table(cls: type) -> str:
    """Return the section of one record."""
    summary = (cls.__doc__ or "").splitlines()[0]
    head = [f"### {cls.__name__}", "", summary, "", "| key | value | meaning |", "| --- | --- | --- |"]
    return "\n".join(head + [row(key) for key in keys(cls)])


def row(key: Key) -> str:
    """Return the line of one key."""
    value = ", ".join(f"`{one}`" for one in key.choices) or called(key.kind)
    meaning = key.about.replace("``", "`").replace("|", "\\|")
    return f"| `{key.key}` | {value} | {meaning} |"


def written(page: str) -> str:
    """Return the page with the tables between its marks."""
    tables = "\n\n".join(
        table(cls)
        for cls in records(
            RunRecord,
            RoundRecord,
            CardRecord,
            AttackTableRecord,
            LeakageRecord,
            ExportResultRecord,
            ClaimRecord,
        )
    )
    return MARKED.sub(lambda marks: f"{marks[1]}\n{tables}\n\n{marks[2]}", page)


def schemas() -> dict[str, str]:
    """Return the schemas as texts, by the names of their files."""
    return {
        name: json.dumps(json_schema(cls, title), indent=1) + "\n" for name, (cls, title) in SCHEMAS.items()
    }


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
    for file, text in schemas().items():
        (FOLDER / file).write_text(text)
