"""Pages of the Python interface, of the study file's settings and of the JSON schemas, from the code."""

import inspect
import json
from pathlib import Path

from prose import escaped, grid, with_papers

import fedrobust
from fedrobust.config import Experiment
from fedrobust.config.explain import Setting, explain

DOCS = Path(__file__).parents[1]


def interface_pages() -> dict[str, str]:
    """Return the pages by their places on the site."""
    return {
        "reference/python.md": python(),
        "reference/study-file.md": study_file(),
        "reference/schemas.md": schemas(),
    }


def python() -> str:
    """Return the page of all public functions and classes."""
    found = {name: getattr(fedrobust, name) for name in fedrobust.__all__}
    rows = [
        (
            f"[`{name}`](#fedrobust.{name})",
            escaped((inspect.getdoc(thing) or "").splitlines()[0].replace("`", "")),
        )
        for name, thing in found.items()
    ]
    parts = [
        "# Python interface",
        "`import fedrobust`; every command of the command line is a function.",
        grid(("name", "what it does"), rows),
    ]
    for name, thing in found.items():
        directive = "autoclass" if inspect.isclass(thing) else "autofunction"
        members = "\n   :members:" if name == "Run" else ""
        parts.append(f"```{{eval-rst}}\n.. {directive}:: fedrobust.{name}{members}\n```")
    return "\n\n".join(parts) + "\n"


def study_file() -> str:
    """Return the page of every setting, with its allowed values, table by table."""
    fields = {name: field for name, field in Experiment.model_fields.items() if not field.exclude}
    tables = [name for name, field in fields.items() if hasattr(field.annotation, "model_fields")]
    above = [explain(name.replace("_", "-")) for name in fields if name not in tables]
    settings = [
        one.settings[0] for found in above for one in found if one.kind == "setting" and "." not in one.name
    ]
    parts = [
        "# Settings of a study file",
        "What each value may be. [Studies](../studies.md) explains the choices; `fedrobust explain KEY` shows one.",
        "## Above all tables",
        rows_of(settings),
    ]
    for name in tables:
        (table,) = [one for one in explain(name) if one.kind == "table of a study file"]
        parts += [
            f"## {escaped(table.name)}",
            *(with_papers(escaped(part)) for part in table.text),
            rows_of(table.settings),
        ]
    return "\n\n".join(parts) + "\n"


def rows_of(settings: tuple[Setting, ...] | list[Setting]) -> str:
    """Return the table of some settings."""
    rows = [
        (
            f"`{one.name}`",
            f"`{one.default}`" if one.default else "",
            escaped(one.allowed),
            escaped(one.meaning),
        )
        for one in settings
    ]
    return grid(("setting", "default", "allowed", "meaning"), rows)


def schemas() -> str:
    """Return the page of the JSON schemas."""
    parts = [
        "# JSON schemas of a run folder",
        "For programs that read a run folder (JSON Schema); [Records](../records.md) has the same keys as tables.",
    ]
    for path in sorted(DOCS.glob("*.schema.json")):
        text = path.read_text()
        title = json.loads(text)["title"]
        parts += [
            f"## {path.name}",
            f"{escaped(title)}. {{download}}`Download <../{path.name}>`",
            f"```{{code-block}} json\n:class: long\n\n{text}```",
        ]
    return "\n\n".join(parts) + "\n"
