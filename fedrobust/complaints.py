"""Errors on the terminal: one sentence and an exit code.

Exit codes: 0 done, 1 a run failed on its way (or cells of a sweep did), 2 something given cannot be used and nothing
was run, 3 the verdict of a strict audit is not "robust", 130 stopped by Ctrl-C or SIGTERM.
"""

import logging
import os
import shlex
import signal
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import click
import typer

from fedrobust.atomic import DISK
from fedrobust.errors import FedrobustError
from fedrobust.streams import own_words_only, silence_output

FAILED, REFUSED, NOT_ROBUST, STOPPED = 1, 2, 3, 130

EXIT_CODES = """\b
Exit codes: 0 done; 1 a run, or cells of a sweep, failed on the way;
2 something given cannot be used, nothing was run; 3 --strict, and the
verdict is not "robust"; 130 stopped by Ctrl-C or SIGTERM."""

LONGEST_LINE = 2000
"""Most characters of a line of an error."""

MOST_LINES = 100

OURS = ("fedrobust", "server", "clients")


@contextmanager
def complaints(folder: Callable[[], str] = str, go_on: str = "fedrobust run --resume") -> Iterator[None]:
    """Convert any error of a command to one message and an exit code, without a traceback on the terminal.

    Errors that users can mend carry their own sentence. Of anything unforeseen the traceback is written into a file,
    which the message names. ``--traceback`` or ``FEDROBUST_TRACEBACK=1`` show it at once.

    Args:
        folder: returns the folder of results as far as there is one, to be told how to go on from.
        go_on: the command that goes on, the folder following.
    """
    try:
        yield
    except FedrobustError as error:
        fail(str(error), code=FAILED if isinstance(error, RuntimeError) else REFUSED)
    except KeyboardInterrupt:
        fail(f"stopped{_how_on(folder(), go_on)}", code=STOPPED)
    except BrokenPipeError:
        # The reader of the output, such as `head`, has closed it.
        silence_output()
        sys.exit(0)
    except MemoryError as error:
        fail(f"the memory of this machine is used up{_of(error)}; give it less at a time", code=FAILED)
    except OSError as error:
        if error.errno not in DISK and error.filename is None:
            _unforeseen(error, folder())
        place = f"{error.filename}: " if error.filename is not None else ""
        fail(f"{place}{error.strerror or error}{_how_on(folder(), go_on)}", code=FAILED)
    except Exception as error:
        if isinstance(error, typer.Exit | typer.Abort) or type(error).__module__.startswith("click."):
            raise
        _unforeseen(error, folder())


def fail(message: str, code: int = REFUSED) -> NoReturn:
    """Print `message` on standard error, after a traceback if that is enabled, and exit."""
    with suppress(
        OSError, ValueError
    ):  # an error stream that cannot be written does not change the exit code
        if _wants_traceback() and sys.exc_info()[0] is not None:
            traceback.print_exc()
        typer.secho(f"error: {printable(_cut(message))}", fg="red", err=True)
    sys.exit(code)


def _cut(message: str) -> str:
    """Return `message` with the middle of long lines left out: a file may have been quoted in it."""
    half = LONGEST_LINE // 2
    return "\n".join(
        line if len(line) <= LONGEST_LINE else f"{line[:half]} ... {line[-half:]}"
        for line in message.split("\n")[:MOST_LINES]
    )


def _wants_traceback() -> bool:
    context = click.get_current_context(silent=True)
    asked = context is not None and context.find_root().params.get("traceback")
    return bool(asked) or os.environ.get("FEDROBUST_TRACEBACK", "") not in ("", "0")


def printable(text: str) -> str:
    r"""Return `text` without control characters, because it may come from a file or from another machine.

    Example:
        >>> printable("a\x1b[31mb\tc\nd")
        'a?[31mb c\nd'
    """
    return "".join(
        letter if letter.isprintable() or letter == "\n" else " " if letter.isspace() else "?"
        for letter in text
    )


@contextmanager
def own_process() -> Iterator[None]:
    """Configure the process for the command line: SIGTERM ends it like Ctrl-C, other libraries' warnings are hidden.

    This project's own warnings are notices to the user: a line each.
    """
    with warnings.catch_warnings(), own_words_only(), _loggers_silent():
        warnings.simplefilter("ignore")
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = _notice
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _loggers_silent() -> Iterator[None]:
    """Hide the logs of TensorFlow, Keras, Flower and Ray; their errors are raised, too."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)


def _notice(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    if category.__module__.partition(".")[0] in OURS:
        with suppress(OSError, ValueError):
            typer.secho(f"notice: {printable(str(message))}", fg="yellow", err=True)


def _unforeseen(error: Exception, folder: str) -> NoReturn:
    text = str(error).strip()
    said = f"{type(error).__name__}: {text.splitlines()[0][:500]}" if text else type(error).__name__
    log = _log(folder)
    where = f"the traceback is in {log}" if log else "set FEDROBUST_TRACEBACK=1 to see the traceback"
    fail(f"internal error: {said}; {where}; please report it", code=FAILED)


def _log(folder: str) -> Path | None:
    """Write the traceback into the folder of results, else into a temporary file; return None if neither works."""
    text = traceback.format_exc()
    if folder and Path(folder).is_dir():
        path = Path(folder) / f"error-{datetime.now():%Y%m%d-%H%M%S}.log"
        try:
            path.write_text(text, encoding="utf-8", errors="replace")
        except OSError:
            pass
        else:
            return path
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="fedrobust-", suffix=".log", delete=False, encoding="utf-8", errors="replace"
        ) as file:
            file.write(text)
    except OSError:
        return None
    return Path(file.name)


def _of(error: Exception) -> str:
    return f" ({error})" if str(error) else ""


def _how_on(folder: str, go_on: str) -> str:
    return f"; go on with: {go_on} {shlex.quote(folder)}" if folder else ""
