"""What a user can mend: the root of this project's own errors."""

import re


class FedrobustError(Exception):
    """Something is wrong with a study, its data or its run; the message says what, what is allowed, what to do."""


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_WRAPPING = (
    "Exception encountered when calling",
    "Could not automatically infer the output shape",
    "Arguments received by",
    "in user code:",
    "Traceback (most recent",
)


def first_line(error: BaseException) -> str:
    r"""Return the first line of what an error says, or its kind where it says nothing.

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
    """A study cannot be run as written; the message names the file, the key, and what is allowed."""
