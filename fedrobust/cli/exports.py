"""The command that exports models for devices.

What a command needs is imported inside of its function, so that ``--help`` is fast.
"""

from typing import Annotated

import typer

from fedrobust import runtime
from fedrobust.cli.app import Command, app, examples
from fedrobust.cli.options import Data, DataRoot, Force, Head, Input, Labels, Out, Seed
from fedrobust.cli.output import JsonResult, Quiet, listener, write_json
from fedrobust.complaints import complaints

ATTACKED = 200


@app.command(
    cls=Command,
    epilog=examples(
        "fedrobust export runs/breast/student.keras",
        "fedrobust export model.keras --data breastmnist --format int8 --format onnx",
    ),
)
def export(
    model: Annotated[
        str,
        typer.Argument(
            help="Run folder (its global model), or a .keras file, such as a run's student.keras."
        ),
    ],
    data: Data = "",
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="float32, float16, dynamic, int8, int16x8 or onnx; repeatable; by default float32, int8.",
        ),
    ] = None,
    epsilon: Annotated[
        str, typer.Option(help="Epsilon of the attacks on the file to take; empty: 2/255 in linf, 0.5 in l2.")
    ] = "",
    norm: Annotated[str, typer.Option(help="linf or l2.")] = "linf",
    effort: Annotated[str, typer.Option(help="quick, standard, or full: steps and queries.")] = "quick",
    images: Annotated[
        int, typer.Option("--images", min=0, help="Test images that are attacked; 0: all.")
    ] = ATTACKED,
    attack: Annotated[
        bool, typer.Option("--attack/--no-attack", help="Whether the file to take is attacked.")
    ] = True,
    seed: Seed = 0,
    input: Input = None,
    labels: Labels = None,
    head: Head = None,
    out: Out = "",
    force: Force = False,
    data_root: DataRoot = "",
    quiet: Quiet = False,
    json: JsonResult = False,
) -> None:
    """Export a model for devices: LiteRT or ONNX files, labels, a script that classifies, and which file to take.

    Every file is compared with the Keras model on the test images; where int8 changes more than 2 % of the answers,
    another format takes its place. The file to take is attacked as it is.
    """
    from fedrobust import api
    from fedrobust.terminal.exports import lines, table
    from fedrobust.terminal.screen import say, standard_output

    runtime.claim_process()
    with (
        listener(quiet, json, events=False) as listening,
        complaints(lambda: out, "fedrobust export ... --out"),
    ):
        found = api.export_model(
            model,
            data,
            formats or ("float32", "int8"),
            listening,
            epsilon=epsilon,
            norm=norm,
            effort=effort,
            images=images,
            attack=attack,
            seed=seed,
            input=input or "",
            labels=labels or "",
            head=head or "",
            data_root=data_root,
            out=out,
            force=force,
        )
    if json:
        write_json(found)
        return
    if not quiet:
        standard_output().print(table(found))
        for line in lines(found):
            say(standard_output(), line)
    typer.echo(f"{found['folder']}/export.html")
