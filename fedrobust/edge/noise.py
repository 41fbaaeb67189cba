"""Keep the routine messages of TensorFlow's and LiteRT's C++ side off the terminal, and no other message."""

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Written on every successful conversion, whatever the settings; none asks anything of the user.
ROUTINE = re.compile(
    r"^I\d{4} "
    r"|^W\d{4} .*(Ignored output_format|Ignored drop_control_dependency|Skipping runtime version metadata)"
    r"|^WARNING: All log messages before absl::InitializeLog"
    r"|^INFO: Created TensorFlow Lite XNNPACK delegate"
    r"|^fully_quantize: "
)

# There is one file descriptor 2 in a process: two threads must not swap it at once.
_descriptor = threading.RLock()


@contextmanager
def without_noise() -> Iterator[None]:
    """Hold back what is written to file descriptor 2, then pass on all of it but routine lines.

    C++ libraries write there past Python's `sys.stderr` and past its log levels, so only the descriptor
    itself can be filtered. What other threads write meanwhile is late, not lost; after an exception nothing
    is filtered.
    """
    with _descriptor, tempfile.TemporaryFile() as spool:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(spool.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            spool.seek(0)
            written = spool.read().decode(errors="replace")
            os.write(2, (written if failed else notable(written)).encode())


def notable(text: str) -> str:
    r"""Return `text` without its routine lines.

    Example:
        >>> notable("fully_quantize: 0, inference_type: 6\nERROR: op is not supported\n")
        'ERROR: op is not supported\n'
    """
    return "".join(line for line in text.splitlines(keepends=True) if not ROUTINE.match(line))
