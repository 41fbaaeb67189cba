"""Hide the routine messages of TensorFlow's and LiteRT's C++ code, and no others."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from fedrobust.streams import error_stream_held

# Written on every successful conversion.
ROUTINE = re.compile(
    r"^I\d{4} "
    r"|^W\d{4} .*(Ignored output_format|Ignored drop_control_dependency|Skipping runtime version metadata)"
    r"|^WARNING: All log messages before absl::InitializeLog"
    r"|^INFO: Created TensorFlow Lite XNNPACK delegate"
    r"|^fully_quantize: "
)


@contextmanager
def without_noise() -> Iterator[None]:
    """Buffer output to file descriptor 2, and forward it without routine lines.

    After an exception nothing is filtered. See `fedrobust.streams.error_stream_held`.
    """
    with error_stream_held(notable):
        yield


def notable(text: str) -> str:
    r"""Return `text` without its routine lines.

    Example:
        >>> notable("fully_quantize: 0, inference_type: 6\nERROR: op is not supported\n")
        'ERROR: op is not supported\n'
    """
    return "".join(line for line in text.splitlines(keepends=True) if not ROUTINE.match(line))
