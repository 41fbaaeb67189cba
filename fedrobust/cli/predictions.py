"""The command that classifies single images.

What a command needs is imported inside of its function, so that ``--help`` is fast.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fedrobust import runtime
from fedrobust.cli.app import Command, app, examples
from fedrobust.cli.new_file import check_new_file, write_new_file
from fedrobust.cli.options import Alpha, Samples, SplitName
from fedrobust.cli.output import JsonResult, write_json
from fedrobust.cli.own_data import numbers
from fedrobust.complaints import complaints


@app.command(
    cls=Command,
    epilog=examples(
        "fedrobust predict runs/breast scan.png",
        "fedrobust predict runs/breast/student.int8.tflite scans/ --sigma 0.12 --csv out.csv",
    ),
)
def predict(
    model: Annotated[
        Path, typer.Argument(help="Run folder (its global model), or a .keras or .tflite file in one.")
    ],
    images: Annotated[
        list[Path], typer.Argument(help="Image files (PNG, JPEG, DICOM, ...), folders of them, .npz files.")
    ],
    fit: Annotated[
        str,
        typer.Option(
            help="pad: the whole image, on black; crop: its centred square.",
            show_default="as the model's images",
        ),
    ] = "",
    window: Annotated[
        str,
        typer.Option(
            help="Black and white of pixels deeper than 8 bits: -1000:400.",
            show_default="as the model's images",
        ),
    ] = "",
    split: SplitName = "test",
    sigma: Annotated[
        float,
        typer.Option(help="Noise of the smoothed model, with certified radii, pixels in 0..1; 0: none."),
    ] = 0.0,
    samples: Samples = 1000,
    alpha: Alpha = 0.001,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Leave out images that cannot be read.")
    ] = False,
    csv: Annotated[Path | None, typer.Option(help="Also write the table into this file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    json: JsonResult = False,
) -> None:
    """Classify single images with a run's model: class and probability of each.

    Images are prepared as fedrobust data import does; what was done to each is said. Probabilities are the softmax of
    the model's outputs and not calibrated. With --sigma the answers are the smoothed model's: the most frequent class
    under noise with the l2 radius in which no perturbation changes it, or none ("abstains"). No medical device.
    """
    from fedrobust import api
    from fedrobust.terminal.predictions import table
    from fedrobust.terminal.screen import standard_output

    runtime.claim_process()
    if csv is not None:
        check_new_file(csv, "csv", force)
    shown = numbers("--window", window, ":", 2, "-1000:400") if window else None
    with complaints():
        found = api.predict(
            model,
            *images,
            fit=fit,
            window=(shown[0], shown[1]) if shown else None,
            split=split,
            sigma=sigma,
            samples=samples,
            alpha=alpha,
            skip_unreadable=skip_unreadable,
        )
    for one in found.unreadable:
        typer.echo(f"left out: {one}", err=True)
    if csv is not None:
        write_new_file(csv, found.table.to_csv(index=False))
    if json:
        write_json(
            {
                "model": found.model,
                "calibrated": False,
                **({} if found.smoothing is None else {"smoothing": asdict(found.smoothing)}),
                "notes": found.notes,
                "unreadable": found.unreadable,
                "predictions": [asdict(one) for one in found],
            }
        )
        return
    standard_output().print(table(found))
    if csv is not None:
        typer.echo(csv)
