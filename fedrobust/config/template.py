"""A study file with every key and its meaning."""

import json
from collections.abc import Mapping
from typing import Any

from fedrobust.config.experiment import Experiment
from fedrobust.config.keys import alias


def template(values: Mapping[str, Any] | None = None) -> str:
    """Return a study file with every key, its value and its meaning.

    Args:
        values: what differs from the defaults, as in `QUICKSTART`; the default is then named beside it.
    """
    given = values or {}
    lines: list[str] = []
    for name, field in Experiment.model_fields.items():
        if name == "base":
            continue
        inner = getattr(field.annotation, "model_fields", None)
        chosen = given.get(alias(name), {} if inner else field.default)
        if inner is None:
            lines.append(_template_line(name, field, chosen))
            continue
        about = (field.annotation.__doc__ or "").strip().splitlines()[0] if field.annotation else ""
        lines += [
            "",
            f"[{alias(name)}]  # {about}",
            *(_template_line(key, item, chosen.get(alias(key), item.default)) for key, item in inner.items()),
        ]
    return "\n".join(lines) + "\n"


def _template_line(name: str, field: Any, value: Any) -> str:
    value = list(value) if isinstance(value, tuple) else value
    key = f"{alias(name)} = {json.dumps(value)}" if value is not None else f"# {alias(name)} ="
    default = (
        "" if value == field.default or isinstance(value, list) else f"; default {json.dumps(field.default)}"
    )
    return f"{key:<34} # {field.description}{default}"
