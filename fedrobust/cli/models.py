"""Commands about a model, whoever trained it: attack it, audit it.

What a command needs is imported inside of its function, so that ``--help`` is there at once.
"""

import sys
from typing import Annotated, Any

import typer

from fedrobust import runtime
from fedrobust.cli.app import Command, app
from fedrobust.cli.options import (
    Data,
    Model,
    takes_model_options,
)
from fedrobust.complaints import NOT_ROBUST, complaints


@app.command(cls=Command)
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
    *,
    options: dict[str, Any],
) -> None:
    """Attack a model and show what is left of it, beside a constant classifier.

    Of any Keras 3 model, whoever trained it: where another range of pixels or class order fits its answers far better,
    it is not attacked, and the message says which option to add.
    """
    from fedrobust import api
    from fedrobust.terminal.audit import attack_table, notes
    from fedrobust.terminal.run import ConsoleListener
    from fedrobust.terminal.screen import say, standard_output

    runtime.claim_process()
    with ConsoleListener() as listener, complaints(lambda: options["out"], "fedrobust attack ... --out"):
        result = api.attack_model(
            model,
            data,
            attacks or ("fgsm", "pgd"),
            epsilons or (),
            listener,
            **options,
        )
    standard_output().print(attack_table(result))
    for note in notes(result):
        say(standard_output(), note)
    typer.echo(f"{result['folder']}/attack.json")


@app.command(cls=Command)
@takes_model_options
def audit(
    model: Model,
    data: Data = "",
    epsilon: Annotated[str, typer.Option(help="What the verdict is about.")] = "2/255",
    control: Annotated[
        str, typer.Option(help="The same model without its defence: a file or a run folder.")
    ] = "",
    teacher: Annotated[str, typer.Option(help="The model that it was distilled from.")] = "",
    edge: Annotated[str, typer.Option(help="Its exported .tflite file.")] = "",
    trained_on: Annotated[
        list[str] | None, typer.Option(help="An attack that its training used, such as fgsm; repeatable.")
    ] = None,
    effort: Annotated[
        str, typer.Option(help="quick, standard, or full: AutoAttack's steps and queries.")
    ] = "standard",
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 3 unless the verdict is robust.")
    ] = False,
    *,
    options: dict[str, Any],
) -> None:
    """Say whether a model's robustness is real: robust, not robust, not proven, or degenerate.

    Of any Keras 3 model, whoever trained it: where another range of pixels or class order fits its answers far better,
    there is no verdict, and the message says which option to add. --input, --labels and --head also tell of companions:
    --input 0..255 --input control=0..1; without that, those take what the model takes unless their layers show
    otherwise. Models of other libraries: fedrobust.audit_model takes any function of images.
    """
    from fedrobust import api
    from fedrobust.terminal.audit import notes, verdict_of
    from fedrobust.terminal.run import ConsoleListener
    from fedrobust.terminal.screen import say, standard_output

    runtime.claim_process()
    with ConsoleListener() as listener, complaints(lambda: options["out"], "fedrobust audit ... --out"):
        card = api.audit_model(
            model,
            data,
            listener,
            epsilon=epsilon,
            effort=effort,
            control=control,
            teacher=teacher,
            edge=edge,
            trained_on=trained_on or (),
            **options,
        )
    say(standard_output(), verdict_of(card))
    for note in notes(card):
        say(standard_output(), note)
    typer.echo(f"{card['folder']}/card.html")
    if strict and card["verdict"]["word"] != "robust":
        sys.exit(NOT_ROBUST)
