"""The command that attacks the privacy of a run.

What a command needs is imported inside of its function, so that ``--help`` is fast.
"""

from pathlib import Path
from typing import Annotated

import typer

from fedrobust import runtime
from fedrobust.cli.app import Command, app, examples
from fedrobust.cli.options import DataRoot, Seed
from fedrobust.cli.output import JsonResult, Quiet, listener, write_json
from fedrobust.complaints import complaints


@app.command(
    cls=Command,
    epilog=examples(
        "fedrobust leakage runs/mine",
        'fedrobust leakage runs/mine --attack loss --attack "lira(shadows=64)"',
    ),
)
def leakage(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    attacks: Annotated[
        list[str] | None,
        typer.Option("--attack", help='Such as "lira(shadows=64)"; repeatable; `list leakage`.'),
    ] = None,
    shadows: Annotated[
        int,
        typer.Option(min=0, help="Shadow federations of attacks that do not set them; 0: their default, 32."),
    ] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Shadow federations at a time; 0: one per core.")] = 0,
    seed: Seed = 0,
    data_root: DataRoot = "",
    quiet: Quiet = False,
    json: JsonResult = False,
) -> None:
    """Attack a run's privacy: which images trained its model, and what single updates show of them.

    Guessing has an AUC of 0.5, and finds as many members as it accuses others. Attacks from rounds and on updates need
    output.keep-every in the study. That no attack succeeds does not make a run private.
    """
    from fedrobust import api
    from fedrobust.terminal.leakage import lines, record_of, tables
    from fedrobust.terminal.screen import say, standard_output

    runtime.claim_process()
    with listener(quiet, json, events=False) as listening, complaints(lambda: str(run), "fedrobust leakage"):
        found = api.attack_privacy(
            run,
            attacks or (),
            listening,
            shadows=shadows,
            workers=workers,
            seed=seed,
            data_root=data_root,
        )
    if json:
        write_json(found)
        return
    if not quiet:
        record = record_of(found)
        for table in tables(record):
            standard_output().print(table)
        for line in lines(record):
            say(standard_output(), line)
    typer.echo(f"{found['folder']}/leakage.json")
