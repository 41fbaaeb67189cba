"""An explanation of a name on the terminal: paragraphs and settings, wrapped between words."""

import textwrap
from collections.abc import Iterator

from fedrobust.config.explain import Explanation, Setting


def lines(one: Explanation, width: int) -> Iterator[str]:
    """Yield the lines of an explanation, none longer than `width` unless a single word is.

    Args:
        one: what `fedrobust.explain` returns.
        width: columns of the terminal.
    """
    yield f"{one.name}: {one.kind}"
    for paragraph in one.text:
        yield ""
        yield from _wrapped(paragraph, width, "")
    if one.settings:
        yield ""
        yield "Settings:" if len(one.settings) > 1 or one.keys else "Value:"
        for setting in one.settings:
            yield from _wrapped(_told(setting), width, "  ", "      ")
    if one.names:
        yield ""
        yield from _wrapped(f"Names: {', '.join(one.names)}", width, "", "  ")
    if one.keys:
        yield ""
        yield from _wrapped(f"In a study file: {', '.join(one.keys)}", width, "", "  ")
    if one.example:
        yield ""
        yield "Example:"
        yield from (f"  {line}" for line in one.example.splitlines())


def _told(setting: Setting) -> str:
    default = f" (default {setting.default})" if setting.default else ""
    meaning = f"; {setting.meaning}" if setting.meaning else ""
    return f"{setting.name}: {setting.allowed}{default}{meaning}"


def _wrapped(text: str, width: int, first: str, later: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=first if later is None else later,
        break_long_words=False,
        break_on_hyphens=False,
    )
