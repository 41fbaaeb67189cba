"""The process's standard streams: always there, never the cause of an error, and filtered where libraries write."""

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from fedrobust.errors import FedrobustError

# There is one file descriptor 2 in a process: two threads must not swap it at once.
_descriptor = threading.RLock()

_speaks_for_itself = False


@contextmanager
def own_words_only() -> Iterator[None]:
    """Keep what libraries write about an error off the terminal where this project says it in a sentence."""
    global _speaks_for_itself
    before, _speaks_for_itself = _speaks_for_itself, True
    try:
        yield
    finally:
        _speaks_for_itself = before


def open_standard_streams() -> None:
    """Open what is closed of file descriptors 0, 1 and 2 on the null device, and let no character be unprintable.

    With a closed standard error (``2>&-``) the next file opened would get descriptor 2, and what libraries write there
    would end up in it. A character that the terminal's encoding lacks is shown as a question mark.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest descriptor that is free: this one
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def silence_output() -> None:
    """Send standard output to the null device from now on: nobody reads it any more."""
    with suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


@contextmanager
def error_stream_held(passed_on: Callable[[str], str]) -> Iterator[None]:
    """Hold back what is written to file descriptor 2 in the block, then write what `passed_on` makes of it.

    C++ libraries write there past Python's `sys.stderr` and past its log levels, so only the descriptor itself can be
    filtered. What other threads write meanwhile is late, not lost. After an exception all of it is written; on
    the command line, where this project's own errors say what there is to say, it becomes a note of such an error.
    Where descriptor 2 is closed, or nothing can be spooled (a full disk), nothing is held back.
    """
    with _descriptor:
        try:
            kept, spool = os.dup(2), tempfile.TemporaryFile()  # noqa: SIM115
        except OSError:
            yield
            return
        keep: Callable[[str], str] = passed_on
        with spool:
            _flush()
            os.dup2(spool.fileno(), 2)
            try:
                yield
            except FedrobustError as error:
                keep = error_note(error) if _speaks_for_itself else str
                raise
            except BaseException:
                keep = str
                raise
            finally:
                _flush()
                os.dup2(kept, 2)
                os.close(kept)
                spool.seek(0)
                written = spool.read().decode(errors="replace")
                with suppress(OSError):
                    os.write(2, keep(written).encode())


def error_note(error: BaseException) -> Callable[[str], str]:
    """Return a function that puts a text into the notes of an error, which tracebacks show, and returns nothing."""

    def note(text: str) -> str:
        if text.strip():
            error.add_note(text)
        return ""

    return note


def _flush() -> None:
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
