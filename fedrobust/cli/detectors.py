"""The command that measures a detector of attacked images.

What a command needs is imported inside of its function, so that ``--help`` is fast.
"""

from typing import Annotated

import typer

from fedrobust import runtime
from fedrobust.cli.app import Command, app, examples
from fedrobust.cli.options import Count, Data, DataRoot, Head, Input, Labels, Model, Seed
from fedrobust.cli.output import JsonResult, write_json
from fedrobust.complaints import complaints


@app.command(
    cls=Command,
    epilog=examples(
        "fedrobust detect runs/breast",
        "fedrobust detect model.keras --data breastmnist --detector mahalanobis --images 100",
    ),
)
def detect(
    model: Model,
    data: Data = "",
    detector: Annotated[
        str,
        typer.Option(
            help="feature-squeezing, mahalanobis, or a dotted path; empty: the run's own, else feature-squeezing."
        ),
    ] = "",
    epsilon: Annotated[str, typer.Option(help="Of the attacks.")] = "4/255",
    rate: Annotated[
        float, typer.Option(help="Share of clean images on which it may abstain; 0: the run's, else 0.05.")
    ] = 0.0,
    norm: Annotated[str, typer.Option(help="linf or l2.")] = "linf",
    split: Annotated[
        str, typer.Option(help="test or train; the detector is fitted to the validation images.")
    ] = "test",
    images: Count = 0,
    seed: Seed = 0,
    input: Input = None,
    labels: Labels = None,
    head: Head = None,
    data_root: DataRoot = "",
    json: JsonResult = False,
) -> None:
    """Measure a detector: what a model costs that abstains where it is suspicious, and what attacks leave of it.

    The attacker knows the detector: attacks follow the gradient of both together.
    """
    from fedrobust import api
    from fedrobust.terminal.detectors import detection_table
    from fedrobust.terminal.screen import standard_output

    runtime.claim_process()
    with complaints():
        found = api.detect_attacks(
            model,
            data,
            detector,
            epsilon,
            rate=rate,
            norm=norm,
            split=split,
            images=images,
            seed=seed,
            input=input or "",
            labels=labels or "",
            head=head or "",
            data_root=data_root,
        )
    if json:
        write_json(found)
        return
    standard_output().print(detection_table(found))
