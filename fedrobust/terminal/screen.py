"""The console: output to a closed pipe is dropped, and lines in a pipe are not wrapped."""

import textwrap
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from fedrobust.streams import silence_output

PIPE_WIDTH = 120
"""Width if the output is not a terminal."""


class Screen(Console):
    """A console that drops its output once the pipe is closed, so that the run continues."""

    def on_broken_pipe(self) -> None:
        """Drop all further output."""
        self.quiet = True
        silence_output()


def standard_output() -> Console:
    """Return a console on standard output, as wide as the terminal, or wide enough for tables in a pipe."""
    console = Screen(highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def say(console: Console, text: str, **style: Any) -> None:
    """Print one line, wrapped between words on a terminal and unwrapped in a pipe.

    Args:
        console: where to.
        text: in Rich's markup.
        style: as Rich's `Console.print` takes it.
    """
    console.print(text, soft_wrap=not console.is_terminal, **style)


def screen_lines(text: str, indent: int) -> None:
    """Print text without markup, wrapped between words on a terminal, and as one line in a pipe.

    Args:
        text: one line.
        indent: columns before its second and further lines.
    """
    console = standard_output()
    if console.is_terminal:
        text = textwrap.fill(
            text,
            console.width,
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    console.print(text, markup=False, soft_wrap=True)


PLAIN: dict[str, Any] = {"box": SIMPLE_HEAD, "title_justify": "left", "caption_justify": "left"}


def add_columns(table: Table, first: str, *others: str) -> None:
    """Add a column of names and columns of numbers."""
    table.add_column(first, overflow="fold")  # settings may be long; numbers are not cut for them
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
