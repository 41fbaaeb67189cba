"""The base classes of this project's errors, which users can correct."""

import re


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


class ConfigError(FedrobustError, ValueError):
    """The settings of a study are wrong; the message names the file, the key, and what is allowed."""
