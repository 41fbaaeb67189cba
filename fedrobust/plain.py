"""Sanitise untrusted text and data for terminals and records."""

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import numpy as np

MOST_TEXT = 300
"""Largest length of a text from a client."""

MOST_STRING = 10_000
MOST_DEPTH = 40
MOST_INTEGER = 2**64

# Terminal sequences: CSI, then strings (OSC, DCS, SOS, PM, APC) with what they carry, then two-character escapes.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f]).*?(?:\x07|\x1b\\|\x9c|$)"
    r"|\x1b.?",
    re.DOTALL,
)

_UNUSUAL = re.compile(r"[^ -~]")
"""Characters that are looked at one by one."""


def plain_text(text: str, most: int = MOST_TEXT) -> str:
    r"""Return `text` on one line of printable characters, no longer than `most`.

    Terminal sequences go, with what they carry; control characters, line ends and lone surrogates become spaces, and
    so does what turns or hides its neighbours (Unicode's format characters).

    Args:
        text: of any origin and length.
        most: characters of the result, at least 1.

    Example:
        >>> plain_text("disk \x1b[31mfull\x1b[0m\n\ttoday"), plain_text("x" * 1000, most=5)
        ('disk full today', 'xxxx…')
    """
    # The work is bounded, too: what is cut away is not looked at. Sequences make a text shorter, eight times at most.
    head = _ESCAPES.sub("", text[: 8 * most])
    line = " ".join(_UNUSUAL.sub(lambda found: _printable(found[0]), head).split())
    if len(line) <= most and len(text) <= 8 * most:
        return line
    return f"{line[: most - 1]}…"


def _printable(character: str) -> str:
    # Cc, Cf, Cs, Co, Cn: control, format, surrogate, private, unassigned; Zl, Zp: separators of lines.
    if character.isascii():
        return character if character.isprintable() else " "
    return " " if unicodedata.category(character)[0] == "C" else character


def plain(value: Any, depth: int = 0) -> Any:
    """Return `value` as data that JSON can hold, whatever it is: for records that must be written at any price.

    Numbers that JSON cannot hold become None; texts are cut at `MOST_STRING` characters and lose lone surrogates;
    what is no data is described in words; what lies deeper than `MOST_DEPTH` is left out.

    Example:
        >>> plain({"seconds": float("inf"), "loss": np.float32(0.5), 3: {1}})
        {'seconds': None, 'loss': 0.5, '3': 'a set'}
    """
    if depth > MOST_DEPTH:
        return None
    if value is None or isinstance(value, bool | np.bool_):
        return None if value is None else bool(value)
    if isinstance(value, int | np.integer):
        return int(value) if abs(int(value)) <= MOST_INTEGER else None
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        return _writable(value)
    if isinstance(value, Mapping):
        return {_writable(str(key)): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist(), depth)
    if isinstance(value, list | tuple):
        return [plain(item, depth + 1) for item in value]
    return f"a {type(value).__name__}"


def _writable(text: str) -> str:
    cut = text if len(text) <= MOST_STRING else f"{text[: MOST_STRING - 1]}…"
    return cut.encode("utf-8", "replace").decode("utf-8")
