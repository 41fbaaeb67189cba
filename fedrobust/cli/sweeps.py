"""Commands for several studies: run a sweep, compare runs.

What a command needs is imported inside of its function, so that ``--help`` is fast.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fedrobust.cli.app import Command, app
from fedrobust.cli.new_file import check_new_file, write_new_file
from fedrobust.cli.options import DataRoot
from fedrobust.complaints import FAILED, complaints, fail


@app.command(cls=Command)
def bench(
    sweep: Annotated[
        Path | None, typer.Argument(help="Study file in which any value may be a list of values.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change or sweep a key: --set seed=[0,1,2]. Repeatable.")
    ] = None,
    out: Annotated[str, typer.Option(help="Sweep folder; by default runs/NAME-sweep.")] = "",
    workers: Annotated[int, typer.Option(min=0, help="Cells run in parallel; 0: one per core.")] = 0,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Run only the cells with this key=value. Repeatable.")
    ] = None,
    data_root: DataRoot = "",
    resume: Annotated[
        Path | None,
        typer.Option(help="Resume the sweep in this folder, with the settings it was started with."),
    ] = None,
) -> None:
    """Run every combination of a sweep file's values; finished cells are skipped."""
    from fedrobust import api
    from fedrobust.terminal.sweep import SweepConsole

    if (sweep is None) == (resume is None):
        fail("name a sweep file, or --resume DIR to go on with the sweep in DIR")
    if resume is not None and (set_ or only or out or data_root):
        fail("--resume DIR goes on as the sweep was started: leave out --set, --only, --out and --data-root")
    with SweepConsole() as listener, complaints(lambda: listener.folder, "fedrobust bench --resume"):
        if resume is not None:
            api.resume_bench(resume, listener, workers=workers)
        elif sweep is not None:
            api.bench(
                sweep,
                listener,
                out=out,
                workers=workers,
                overrides=set_ or (),
                only=only or (),
                data_root=data_root,
            )
    if listener.failed or listener.missing:
        sys.exit(FAILED)


@app.command(cls=Command)
def compare(
    folders: Annotated[list[Path], typer.Argument(help="Run folders, or folders of sweeps.")],
    csv: Annotated[Path | None, typer.Option(help="Also write the table into this file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file of --csv.")] = False,
) -> None:
    """Compare runs: the settings in which they differ, and their metrics."""
    from fedrobust import api
    from fedrobust.terminal.screen import standard_output
    from fedrobust.terminal.sweep import comparison

    if csv is not None:
        check_new_file(csv, "csv", force)
    compared = api.compare(folders)
    screen = standard_output()
    for table in comparison(compared, screen.width):
        screen.print(table)
    if csv is not None:
        write_new_file(csv, compared.to_csv())
        typer.echo(csv)
