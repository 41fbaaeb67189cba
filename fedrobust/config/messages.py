"""Error messages on a study: the key, its value, and what is allowed."""

import difflib
import re
from collections.abc import Iterable
from typing import Any, Literal, get_args

from pydantic import BaseModel

from fedrobust.config.keys import keys
from fedrobust.epsilon import shortened
from fedrobust.registry import did_you_mean


def explanations(cls: type[BaseModel], errors: Iterable[Any]) -> list[str]:
    """Return a line for every wrong value, with the requirements of each allowed type."""
    lines: dict[tuple[str, str], list[Any]] = {}
    for item in errors:
        place = ".".join(_place(item)[:2])
        lines.setdefault((place, shortened(item["input"]) if place else item["msg"]), []).append(item)
    found = []
    for items in lines.values():
        wanted = [str(items[0]["msg"]), *(one["msg"].removeprefix("Input should be ") for one in items[1:])]
        message = " or ".join(dict.fromkeys(wanted)).replace("valid tuple", "list")
        found.append(_explained(cls, {**items[0], "msg": message}))
    return found


def _place(item: Any) -> list[str]:
    return [part for part in item["loc"] if isinstance(part, str) and not part.startswith("function-")]


def _explained(cls: type[BaseModel], item: Any) -> str:
    """Return one pydantic error as a sentence: the key, the value, what is allowed."""
    place = _place(item)
    known = keys(cls)
    dotted = ".".join(place[:2]).replace("_", "-")
    if item["type"] == "extra_forbidden":
        close = difflib.get_close_matches(dotted, known, n=1, cutoff=0.6)
        table = place[0] if len(place) > 1 else ""
        allowed = (
            [key.removeprefix(f"{table}.") for key in known if key.startswith(f"{table}.")]
            if table
            else sorted({key.split(".")[0] for key in known})
        )
        hint = f", did you mean {close[0]}?" if close else ";"
        return f"{dotted}: unknown key{hint} Allowed here: {', '.join(allowed)}"
    message: str = item["msg"].removeprefix("Value error, ")
    if not place or (item["type"] == "value_error" and len(place) == 1):
        return message
    value, hint = item["input"], ""
    if len(place) == 1 and item["type"].startswith("model"):
        settings = [key for key in known if key.startswith(f"{dotted}.")]
        if settings:
            return f"{dotted} = {shown(value)}: it is a table of settings; set one of {', '.join(settings)}"
    if isinstance(value, str) and message.endswith("list"):
        parts = ", ".join(f'"{part.strip()}"' for part in value.strip("[]").split(","))
        hint = f"; on the command line with quotes around it: --set '{dotted}=[{parts}]'"
    if item["type"] == "literal_error" and isinstance(value, str):
        hint = did_you_mean(value, re.findall("'([^']+)'", message))
    return f"{dotted} = {shown(value)}: {message}{hint}{_about(cls, place)}"


def shown(value: Any) -> str:
    """Return a value as in a study file, truncated if it is long."""
    value = list(value) if isinstance(value, tuple) else value
    if isinstance(value, float):
        return f"{value:.17g}" if value.is_integer() else str(value)
    plain = isinstance(value, str) and len(value) <= 80 and value.isprintable()
    return f'"{value}"' if plain else shortened(value)


def _about(cls: type[BaseModel], place: list[str]) -> str:
    model: Any = cls
    description = ""
    for name in place:
        field = getattr(model, "model_fields", {}).get(name.replace("-", "_"))
        if field is None:
            break
        description = field.description or description
        model = field.annotation
        choices = get_args(model) if getattr(model, "__origin__", None) is Literal else ()
        if choices:
            description += f": {', '.join(map(str, choices))}"
    return f" ({description})" if description else ""
