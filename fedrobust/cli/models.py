"""Commands for trained models of any origin: attack, audit.

What a command needs is imported inside of its function, so that ``--help`` is fast.
"""

import sys
from typing import Annotated, Any

import typer

from fedrobust import runtime
from fedrobust.cli.app import Command, app, examples
from fedrobust.cli.options import (
    Data,
    Model,
    takes_model_options,
)
from fedrobust.cli.output import JsonResult, Quiet, listener, write_json
from fedrobust.complaints import NOT_ROBUST, complaints


@app.command(
    cls=Command,
    epilog=examples(
        'fedrobust attack runs/mine --attack "pgd(steps=40)" --epsilon 2/255',
        "fedrobust attack model.keras --data breastmnist --images 100",
    ),
)
@takes_model_options
def attack(
    model: Model,
    data: Data = "",
    attacks: Annotated[
        list[str] | None,
        typer.Option("--attack", help='Such as "pgd(steps=40)"; repeatable; `list attacks`.'),
    ] = None,
    epsilons: Annotated[
        list[str] | None, typer.Option("--epsilon", help="Such as 0.005 or 2/255; repeatable.")
    ] = None,
    quiet: Quiet = False,
    json: JsonResult = False,
    *,
    options: dict[str, Any],
) -> None:
    """Attack a model and show its accuracy under attack, beside a constant classifier's.

    For any Keras 3 model: if another pixel range or class order gives significantly more correct predictions, the
    attack is refused, and the message names the option to add.
    """
    from fedrobust import api
    from fedrobust.terminal.audit import attack_table, notes
    from fedrobust.terminal.screen import say, standard_output

    runtime.claim_process()
    with (
        listener(quiet, json, events=False) as listening,
        complaints(lambda: options["out"], "fedrobust attack ... --out"),
    ):
        result = api.attack_model(
            model,
            data,
            attacks or ("fgsm", "pgd"),
            epsilons or (),
            listening,
            **options,
        )
    if json:
        write_json(result)
        return
    if not quiet:
        standard_output().print(attack_table(result))
        for note in notes(result):
            say(standard_output(), note)
    typer.echo(f"{result['folder']}/attack.json")


@app.command(
    cls=Command,
    epilog=examples(
        "fedrobust audit runs/mine", "fedrobust audit model.keras --data breastmnist --input 0..255 --strict"
    ),
)
@takes_model_options
def audit(
    model: Model,
    data: Data = "",
    epsilon: Annotated[
        str, typer.Option(help="Epsilon of the verdict; empty: 2/255 in linf, 0.5 in l2.")
    ] = "",
    control: Annotated[
        str, typer.Option(help="The same model without its defence: a file or a run folder.")
    ] = "",
    teacher: Annotated[str, typer.Option(help="The model that it was distilled from.")] = "",
    edge: Annotated[str, typer.Option(help="Its exported .tflite file.")] = "",
    trained_on: Annotated[
        list[str] | None, typer.Option(help="An attack that its training used, such as fgsm; repeatable.")
    ] = None,
    detector: Annotated[
        str,
        typer.Option(
            help='Detector on which the model abstains, as in mahalanobis; "none": the run\'s left out.'
        ),
    ] = "",
    detector_rate: Annotated[
        float, typer.Option(help="Share of clean images on which it may abstain; 0: the run's, else 0.05.")
    ] = 0.0,
    effort: Annotated[
        str, typer.Option(help="quick, standard, or full: AutoAttack's steps and queries.")
    ] = "standard",
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 3 unless the verdict is robust.")
    ] = False,
    quiet: Quiet = False,
    json: JsonResult = False,
    *,
    options: dict[str, Any],
) -> None:
    """Audit a model's robustness: robust, not robust, not proven, or degenerate.

    For any Keras 3 model: if another pixel range or class order gives significantly more correct predictions, there is
    no verdict, and the message names the option to add. --input, --labels and --head are also given for companions, as
    in --input 0..255 --input control=0..1; by default these have the model's format unless their layers show
    otherwise. For models of other libraries, fedrobust.audit_model takes any function of images.
    """
    from fedrobust import api
    from fedrobust.terminal.audit import detector_lines, notes, verdict_of
    from fedrobust.terminal.screen import say, standard_output

    runtime.claim_process()
    with (
        listener(quiet, json, events=False) as listening,
        complaints(lambda: options["out"], "fedrobust audit ... --out"),
    ):
        card = api.audit_model(
            model,
            data,
            listening,
            epsilon=epsilon,
            effort=effort,
            control=control,
            teacher=teacher,
            edge=edge,
            trained_on=trained_on or (),
            detector=detector,
            detector_rate=detector_rate,
            **options,
        )
    if json:
        write_json(card)
    else:
        if not quiet:
            say(standard_output(), verdict_of(card))
            for note in notes(card):
                say(standard_output(), note)
            for line in detector_lines(card):
                say(standard_output(), line)
        typer.echo(f"{card['folder']}/card.html")
    if strict and card["verdict"]["word"] != "robust":
        sys.exit(NOT_ROBUST)
