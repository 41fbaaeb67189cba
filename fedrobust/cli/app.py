"""The program: its groups of commands, and the common options.

The version is imported inside a function, because only one option needs it.
"""

import inspect
import sys
from collections.abc import Callable
from typing import Annotated, Any

import click
import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from fedrobust.complaints import EXIT_CODES, complaints, own_process
from fedrobust.registry import did_you_mean, known_as
from fedrobust.streams import open_standard_streams


def folded(option: str) -> str:
    """Return an option's name in small letters with ``-`` for ``_``."""
    return option.casefold().replace("_", "-")


HELP = {"help_option_names": ["-h", "--help"], "token_normalize_func": folded}


def examples(*lines: str) -> str:
    """Return what ends a command's help: examples, a line each, which are not wrapped."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


class Plain:
    """Help as plain text: Typer escapes brackets for Rich, which is not used here."""

    def get_help(self, context: click.Context) -> str:
        """Return the text of ``--help``."""
        text: str = super().get_help(context)  # type: ignore[misc]
        return text.replace("\\[", "[")


class Command(Plain, TyperCommand):
    """One command; ``-h`` shows its help, with every argument."""

    def __init__(self, *args: Any, **settings: Any):
        settings["context_settings"] = {**HELP, **(settings.get("context_settings") or {})}
        super().__init__(*args, **settings)
        for parameter in self.params:
            # Typer sets this before it calls click's constructor, which since 8.4 clears it.
            if isinstance(parameter, TyperArgument) and not parameter.help and self.callback is not None:
                parameter.help = _help_of(self.callback, parameter.name or "")


def _help_of(function: Callable[..., Any], parameter: str) -> str | None:
    """Return the help that a function's signature gives for a parameter."""
    annotation = inspect.signature(inspect.unwrap(function)).parameters[parameter].annotation
    helps = [getattr(each, "help", None) for each in getattr(annotation, "__metadata__", ())]
    return next(filter(None, helps), None)


class Commands(Plain, TyperGroup):
    """A group of commands; the error for an unknown name suggests the closest one."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the first line of every command's help in full: click would cut it."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, (command.help or "").strip().splitlines()[0])
                    for name, command in self.commands.items()
                ]
            )

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that `args` begin with."""
        if args and not args[0].startswith("-"):
            known = known_as(args[0], self.commands)
            if known is None:
                hint = did_you_mean(args[0], self.commands) or ";"
                context.fail(f"no such command: {args[0]!r}{hint} Choose one of: {', '.join(self.commands)}")
            args = [known, *args[1:]]
        return super().resolve_command(context, args)


class Everything(Commands):
    """All commands; tracebacks of errors are caught here."""

    def main(self, *args: Any, **settings: Any) -> Any:
        """Run the command line, and exit."""
        open_standard_streams()
        return super().main(*args, **settings)

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Accept ``--traceback`` anywhere on the command line."""
        ours = args[: args.index("--")] if "--" in args else args
        if "--traceback" in ours:
            args = ["--traceback", *(word for word in args if word != "--traceback")]
        return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> Any:
        """Run the command."""
        with complaints(), own_process():
            done = super().invoke(context)
            sys.stdout.flush()  # so that a full disk raises here, not when the interpreter exits
            return done


app = typer.Typer(
    name="fedrobust",
    cls=Everything,
    help="Simulate federated learning on medical images, attack it, and audit whether models are really robust.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=HELP,
)
data = typer.Typer(
    cls=Commands,
    help="Import own images, check a file, list data sets and show what is in one.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings=HELP,
)
app.add_typer(data, name="data")
deploy = typer.Typer(
    cls=Commands,
    help="Run a study at real sites, whose images stay there: over TLS, with a key for each site.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings=HELP,
)
app.add_typer(deploy, name="deploy")


def _version(asked: bool) -> None:
    if asked:
        from fedrobust import __version__

        typer.echo(f"fedrobust {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    traceback: Annotated[
        bool,
        typer.Option("--traceback", help="Show the traceback of an error; so does FEDROBUST_TRACEBACK=1."),
    ] = False,
) -> None:
    """Take what holds for every command; `complaints` reads it."""
