"""The command that writes figures.

What a command needs is imported inside of its function, so that ``--help`` is fast.
"""

from pathlib import Path
from typing import Annotated

import typer

from fedrobust.cli.app import Command, app, examples


@app.command(
    cls=Command,
    epilog=examples(
        "fedrobust figures runs/mine --format pdf",
        "fedrobust figures runs/sweep --metric accuracy --format png --out paper/figures",
    ),
)
def figures(
    folders: Annotated[
        list[Path], typer.Argument(help="A run folder; or several, or those of sweeps, to compare.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the files; same names are replaced.")] = Path(
        "figures"
    ),
    format_: Annotated[
        list[str] | None, typer.Option("--format", help="svg, png, pdf, or csv alone. Repeatable.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="Metrics of compared runs, such as balanced_accuracy. Repeatable."),
    ] = None,
) -> None:
    """Write the figures of a run, or of compared runs, as files, each with its data as CSV."""
    from fedrobust import api

    for path in api.write_figures(folders, out, format_ or ["svg"], metric or ()):
        typer.echo(path)
