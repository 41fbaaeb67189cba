"""Write the tables of every setting into `docs/studies.md`: `python docs/settings.py`."""

import json
import re
from pathlib import Path
from typing import Any

from fedrobust.config import Experiment

PAGE = Path(__file__).parent / "studies.md"
MARKED = re.compile(r"(<!-- settings: .*? -->\n).*?(<!-- end of settings -->)", re.DOTALL)


def shown(value: Any) -> str:
    """Return a default as TOML, empty where there is none."""
    return "" if value is None else f"`{json.dumps(value)}`"


def row(name: str, field: Any) -> str:
    """Return the line of one setting."""
    meaning = (field.description or "").replace("|", "\\|")
    return f"| `{name.replace('_', '-')}` | {shown(field.default)} | {meaning} |"


def tables() -> str:
    """Return a table for the settings above all sections, then one for each section."""
    head = ["| setting | default | meaning |", "| --- | --- | --- |"]
    fields = {name: field for name, field in Experiment.model_fields.items() if not field.exclude}
    sections = {name: field for name, field in fields.items() if hasattr(field.annotation, "model_fields")}
    parts = ["\n".join(head + [row(name, field) for name, field in fields.items() if name not in sections])]
    for name, section in sections.items():
        rows = [row(key, field) for key, field in section.annotation.model_fields.items()]
        parts.append(f"### `[{name}]`\n\n{section.annotation.__doc__}\n\n" + "\n".join(head + rows))
    return "\n" + "\n\n".join(parts) + "\n\n"


def written(page: str) -> str:
    """Return the page with the tables between its marks."""
    return MARKED.sub(lambda marks: marks[1] + tables() + marks[2], page)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
