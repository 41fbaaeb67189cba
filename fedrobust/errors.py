"""The base classes of this project's errors, which users can correct."""

import re
import sysconfig
import traceback
from pathlib import Path


class FedrobustError(Exception):
    """A study, its data or its run is wrong; the message has the error, what is allowed, and the remedy."""


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_WRAPPING = (
    "Exception encountered when calling",
    "Could not automatically infer the output shape",
    "Arguments received by",
    "in user code:",
    "Traceback (most recent",
)


def first_line(error: BaseException) -> str:
    r"""Return the first line of an error's message, or its type if the message is empty.

    Keras wraps what a layer raised: its own lines around that are left out.

    Example:
        >>> first_line(ValueError("no such layer\nmore")), first_line(KeyError())
        ('no such layer', 'KeyError')
        >>> first_line(ValueError("Exception encountered when calling Dense.call().\n\n\x1b[1mtoo wide\x1b[0m"))
        'too wide'
    """
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(_WRAPPING)]
    return (said or lines or [type(error).__name__])[0]


def told(error: BaseException) -> str:
    r"""Return an error in one line: its type, the first line of its message, and the line of the user's own code.

    Example:
        >>> told(ZeroDivisionError("division by zero"))
        'ZeroDivisionError: division by zero'
    """
    said = first_line(error)
    kind = type(error).__name__
    return f"{said if said == kind else f'{kind}: {said}'}{own_line(error)}"


def own_line(error: BaseException) -> str:
    """Return " (file, line n)" of the innermost call of a user's own code, "" if the error is from no such code.

    Files of this project and of the Python installation are no user's own.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(("<", *_INSTALLED))]
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""


_PROJECT = Path(__file__).parents[1]
_INSTALLED = (
    *{f"{path}/" for name, path in sysconfig.get_paths().items() if name.endswith("lib") or name == "stdlib"},
    *(f"{_PROJECT / name}/" for name in ("fedrobust", "server", "clients")),
)


class ConfigError(FedrobustError, ValueError):
    """The settings of a study are wrong; the message names the file, the key, and what is allowed."""
