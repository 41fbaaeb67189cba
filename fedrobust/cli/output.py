"""How much a command writes: everything, nothing but the result, or JSON.

What shows events is imported inside of a function, so that ``--help`` is fast.
"""

from json import dumps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedrobust.complaints import fail

if TYPE_CHECKING:
    from fedrobust.terminal.json_lines import Silent
    from fedrobust.terminal.run import ConsoleListener
    from fedrobust.terminal.sweep import SweepConsole
    from fedrobust.terminal.sweep_lines import SilentSweep

Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Write nothing but the path of the result; errors as ever.")
]
Json = Annotated[
    bool, typer.Option("--json", help="Write JSON lines: an event each, the last with the whole record.")
]
SweepJson = Annotated[
    bool, typer.Option("--json", help="Write JSON lines: an event each; figures: fedrobust compare --json.")
]
JsonResult = Annotated[bool, typer.Option("--json", help="Write the result as JSON, and nothing else.")]


def listener(quiet: bool, json: bool, events: bool = True) -> "ConsoleListener | Silent":
    """Return what shows the events of a command.

    Args:
        quiet: whether ``--quiet`` is given.
        json: whether ``--json`` is given.
        events: whether ``--json`` writes events, and not the result alone.
    """
    if quiet and json:
        fail("--quiet with --json: leave one out")
    if not quiet and not json:
        from fedrobust.terminal.run import ConsoleListener

        return ConsoleListener()
    from fedrobust.terminal.json_lines import JsonLines, Silent

    return JsonLines(typer.echo) if json and events else Silent()


def sweep_listener(quiet: bool, json: bool) -> "SweepConsole | SilentSweep":
    """Return what shows the events of a sweep.

    Args:
        quiet: whether ``--quiet`` is given.
        json: whether ``--json`` is given.
    """
    if quiet and json:
        fail("--quiet with --json: leave one out")
    if not quiet and not json:
        from fedrobust.terminal.sweep import SweepConsole

        return SweepConsole()
    from fedrobust.terminal.sweep_lines import SilentSweep, SweepLines

    return SweepLines(typer.echo) if json else SilentSweep()


def write_json(content: Any) -> None:
    """Write a result as JSON on standard output."""
    typer.echo(dumps(content, indent=2, ensure_ascii=False))
