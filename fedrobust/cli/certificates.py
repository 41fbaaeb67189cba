"""The commands that certify: a model by randomised smoothing, a vote of groups of clients, the training of a run.

What a command needs is imported inside of its function, so that ``--help`` is fast.
"""

from pathlib import Path
from typing import Annotated

import typer

from fedrobust import runtime
from fedrobust.cli.app import Command, app, examples
from fedrobust.cli.options import (
    Alpha,
    Count,
    Data,
    DataRoot,
    Head,
    Input,
    Labels,
    Model,
    Samples,
    Seed,
    Settings,
    SplitName,
    Study,
)
from fedrobust.cli.output import JsonResult, Quiet, listener, write_json
from fedrobust.complaints import complaints


@app.command(
    cls=Command,
    epilog=examples(
        "fedrobust certify runs/breast --sigma 0.12",
        "fedrobust certify model.keras --data breastmnist --samples 10000 --images 100 --json",
    ),
)
def certify(
    model: Model,
    data: Data = "",
    sigma: Annotated[float, typer.Option(help="Standard deviation of the noise, pixels in 0..1.")] = 0.25,
    samples: Samples = 1000,
    alpha: Alpha = 0.001,
    radii: Annotated[
        list[float] | None, typer.Option("--radius", help="l2 radius in units of 0..1; repeatable.")
    ] = None,
    split: SplitName = "test",
    images: Count = 0,
    seed: Seed = 0,
    input: Input = None,
    labels: Labels = None,
    head: Head = None,
    data_root: DataRoot = "",
    quiet: Quiet = False,
    json: JsonResult = False,
) -> None:
    """Certify a model by randomised smoothing: within which l2 radius no perturbation changes its answer.

    The certificate is that of the smoothed model, which answers with the most frequent class under Gaussian noise.
    Train with training.augmentations = ["noise(deviation=SIGMA, clip=False)"] for one that is right under noise.
    """
    from fedrobust import api
    from fedrobust.terminal.certificates import certificate_table, lines
    from fedrobust.terminal.screen import say, standard_output

    runtime.claim_process()
    with listener(quiet, json, events=False) as listening, complaints():
        found = api.certify_model(
            model,
            data,
            sigma,
            listening,
            samples=samples,
            alpha=alpha,
            radii=radii or (),
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
    standard_output().print(certificate_table(found))
    for line in lines(found):
        say(standard_output(), line)


@app.command(
    "certify-clients",
    cls=Command,
    epilog=examples(
        "fedrobust certify-clients breast --groups 5 --out runs/groups",
        "fedrobust certify-clients study.toml --groups 10 --set training.layers=head --json",
    ),
)
def certify_clients(
    study: Study = None,
    groups: Annotated[
        int, typer.Option(help="Disjoint groups of clients, each of which trains a model.")
    ] = 5,
    set_: Settings = None,
    out: Annotated[
        str, typer.Option(help="Folder of the groups' runs; the same command goes on with unfinished ones.")
    ] = "runs/certify-clients",
    split: SplitName = "test",
    images: Count = 0,
    data_root: DataRoot = "",
    quiet: Quiet = False,
    json: JsonResult = False,
) -> None:
    """Certify a federation: how many malicious clients, whatever they send, cannot change an answer.

    Disjoint groups of clients train one model each, and the models vote (FLCert-D).
    """
    from fedrobust import api
    from fedrobust.terminal.certificates import client_table
    from fedrobust.terminal.screen import standard_output

    runtime.claim_process()
    settings = {"data__root": data_root} if data_root else {}
    with listener(quiet, json, events=False) as listening, complaints():
        one = api.experiment(study, set_ or (), **settings)
        found = api.certify_clients(one, groups, listening, out=out, split=split, images=images)
    if json:
        write_json(found)
        return
    standard_output().print(client_table(found))


@app.command(
    "certify-training",
    cls=Command,
    epilog=examples(
        "fedrobust certify-training runs/head --malicious 1",
        "fedrobust certify-training runs/head --malicious 2 --poisoned 0.2 --images 100 --json",
    ),
)
def certify_training(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run with the postprocessor crfl.")],
    malicious: Annotated[
        int, typer.Option(min=0, help="Attackers to certify against; 0: the votes alone.")
    ] = 0,
    poisoned: Annotated[float, typer.Option(help="Share of their images that have the backdoor.")] = 1.0,
    boost: Annotated[float, typer.Option(help="Factor of their updates.")] = 1.0,
    attacked_rounds: Annotated[int, typer.Option(help="Rounds in which they attack.")] = 1,
    samples: Annotated[
        int, typer.Option(help="Noisy copies of the model; more certify larger radii.")
    ] = 1000,
    alpha: Alpha = 0.001,
    radii: Annotated[
        list[float] | None,
        typer.Option("--radius", help="Magnitude of a backdoor, in features and label; repeatable."),
    ] = None,
    split: SplitName = "test",
    images: Count = 0,
    seed: Seed = 0,
    data_root: DataRoot = "",
    quiet: Quiet = False,
    json: JsonResult = False,
) -> None:
    """Certify the training of a run: which backdoors in clients' images cannot have changed an answer.

    Noisy copies of the clipped model vote (CRFL). Votes are counted for every model; the certificate holds for a head
    that is trained by plain SGD on fixed features, and is refused for others.
    """
    from fedrobust import api
    from fedrobust.terminal.certified_training import certified_table, vote_lines
    from fedrobust.terminal.screen import say, standard_output

    runtime.claim_process()
    with listener(quiet, json, events=False) as listening, complaints():
        found = api.certify_training(
            run,
            listening,
            malicious=malicious,
            poisoned=poisoned,
            boost=boost,
            attacked_rounds=attacked_rounds,
            copies=samples,
            alpha=alpha,
            radii=radii or (),
            split=split,
            images=images,
            seed=seed,
            data_root=data_root,
        )
    if json:
        write_json(found)
        return
    if "certified" in found:
        standard_output().print(certified_table(found))
    for line in vote_lines(found):
        say(standard_output(), line)
