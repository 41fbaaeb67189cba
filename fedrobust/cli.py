"""The command line: thin, every command is one call of `fedrobust.api`."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

app = typer.Typer(
    name="fedrobust",
    help="Simulate federated learning on medical images, attack it, and say honestly whether what looks robust is "
    "robust.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data = typer.Typer(help="List data sets and show what is in one.", no_args_is_help=True)
app.add_typer(data, name="data")

DataRoot = Annotated[
    str, typer.Option("--data-root", help="Folder looked in first; then $FEDROBUST_DATA, then ~/.medmnist.")
]


@app.command()
def run(
    study: Annotated[
        Path | None, typer.Argument(help="Study file; without one, the quickstart on phantoms.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a key: --set federation.clients=20. Repeatable.")
    ] = None,
    out: Annotated[
        str, typer.Option(help="Run folder, new or empty; by default a new one below runs/.")
    ] = "",
    data_root: DataRoot = "",
    engine: Annotated[str, typer.Option(help="threads or ray; the same as --set engine.name=...")] = "",
    resume: Annotated[
        Path | None,
        typer.Option(help="Go on with the unfinished run in this folder; only engine.* may be --set."),
    ] = None,
) -> None:
    """Run a study: federate, attack, distil, export, report."""
    from fedrobust import api
    from fedrobust.runs.console import ConsoleListener
    from fedrobust.runtime import claim_process

    claim_process()
    settings = {"data__root": data_root} if data_root else {}
    if engine:
        settings["engine__name"] = engine
    if resume is not None and (study is not None or out or data_root):
        fail("--resume DIR goes on with the study in DIR: leave out the study file, --out and --data-root")
    with ConsoleListener() as listener, complaints(lambda: listener.folder):
        if resume is not None:
            finished = api.resume(resume, listener, overrides=set_ or (), **settings)
        else:
            finished = api.run(api.experiment(study, set_ or (), **settings), listener, out=out)
    typer.echo(f"report: {finished.report}")


@app.command()
def doctor(
    study: Annotated[
        Path | None, typer.Argument(help="Study file; without one, the quickstart on phantoms.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a key: --set federation.clients=20. Repeatable.")
    ] = None,
    data_root: DataRoot = "",
) -> None:
    """Say what a study will cost in time, memory and messages, and refuse what cannot fit; train nothing."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from fedrobust import api
    from fedrobust.runs.console import ConsoleListener, standard_output
    from fedrobust.runs.events import Event, ForecastMade
    from fedrobust.runtime import claim_process

    claim_process()
    settings = {"data__root": data_root} if data_root else {}

    def show(event: Event) -> None:
        if not isinstance(event, ForecastMade):
            listener(event)
            return
        table = Table("", "forecast", box=SIMPLE_HEAD)
        for name, value in event.rows:
            table.add_row(name, value)
        standard_output().print(table)

    with ConsoleListener() as listener, complaints():
        api.doctor(api.experiment(study, set_ or (), **settings), show)
        typer.echo("it fits")


Model = Annotated[Path, typer.Argument(help="A .keras file of Keras 3, or a run folder.")]
Data = Annotated[
    str, typer.Option("--data", help="A MedMNIST name, phantom, or an .npz file; a run folder has its own.")
]
Norm = Annotated[str, typer.Option(help="linf, l2, or (attack only) l0.")]
Space = Annotated[str, typer.Option(help="native: the stored pixels; prepared: what the network takes.")]
Bits = Annotated[int, typer.Option(help="8: only images that an 8-bit file can hold.")]
Tied = Annotated[bool, typer.Option("--tied", help="The colour channels change together.")]
SplitName = Annotated[str, typer.Option("--split", help="train, validation or test.")]
Count = Annotated[
    int, typer.Option("--images", min=0, help="So many images, of every class its share; 0: all.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of everything random.")]
Out = Annotated[str, typer.Option(help="Folder of results; what is finished there is not run again.")]


@app.command()
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
    norm: Norm = "linf",
    space: Space = "native",
    bits: Bits = 0,
    tied: Tied = False,
    split: SplitName = "test",
    images: Count = 0,
    seed: Seed = 0,
    out: Out = "",
    data_root: DataRoot = "",
) -> None:
    """Attack a model and show what is left of it, beside a constant classifier."""
    from fedrobust import api
    from fedrobust.runs.console import ConsoleListener, attack_table, standard_output
    from fedrobust.runtime import claim_process

    claim_process()
    with ConsoleListener() as listener, complaints(lambda: out, "fedrobust attack ... --out"):
        result = api.attack_model(
            model,
            data,
            attacks or ("fgsm", "pgd"),
            epsilons or (),
            listener,
            norm=norm,
            space=space,
            bits=bits,
            tied=tied,
            split=split,
            images=images,
            seed=seed,
            data_root=data_root,
            out=out,
        )
    standard_output().print(attack_table(result))
    typer.echo(f"{result['folder']}/attack.json")


@app.command()
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
    norm: Norm = "linf",
    space: Space = "native",
    bits: Bits = 0,
    tied: Tied = False,
    split: SplitName = "test",
    images: Count = 0,
    seed: Seed = 0,
    out: Out = "",
    data_root: DataRoot = "",
) -> None:
    """Say whether a model's robustness is real: robust, not robust, not proven, or degenerate."""
    from fedrobust import api
    from fedrobust.runs.console import ConsoleListener, standard_output, verdict_line
    from fedrobust.runtime import claim_process

    claim_process()
    with ConsoleListener() as listener, complaints(lambda: out, "fedrobust audit ... --out"):
        card = api.audit_model(
            model,
            data,
            listener,
            epsilon=epsilon,
            norm=norm,
            space=space,
            bits=bits,
            tied=tied,
            effort=effort,
            split=split,
            images=images,
            control=control,
            teacher=teacher,
            edge=edge,
            trained_on=trained_on or (),
            seed=seed,
            data_root=data_root,
            out=out,
        )
    standard_output().print(verdict_line(card), soft_wrap=True)
    typer.echo(f"{card['folder']}/card.html")
    if strict and card["verdict"]["word"] != "robust":
        sys.exit(3)


@app.command()
def bench(
    sweep: Annotated[Path, typer.Argument(help="Study file in which any value may be a list of values.")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change or sweep a key: --set seed=[0,1,2]. Repeatable.")
    ] = None,
    out: Annotated[str, typer.Option(help="Sweep folder; by default runs/NAME-sweep.")] = "",
    workers: Annotated[int, typer.Option(min=0, help="Cells run at a time; 0: one a core.")] = 0,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Run the cells with this key=value alone. Repeatable.")
    ] = None,
    data_root: DataRoot = "",
) -> None:
    """Run every combination of a sweep file's values; finished cells are skipped."""
    from fedrobust import api
    from fedrobust.sweeps.console import SweepConsole

    with SweepConsole() as listener, complaints(lambda: listener.folder, f"fedrobust bench {sweep} --out"):
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
        sys.exit(1)


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(help="Run folders, or folders of sweeps.")],
    csv: Annotated[Path | None, typer.Option(help="Also write the table into this file.")] = None,
) -> None:
    """Show runs side by side: the settings in which they differ, and what came out."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from fedrobust import api
    from fedrobust.runs.console import standard_output

    with complaints():
        compared = api.compare(folders)
    table = Table("", *map(str, compared.columns), box=SIMPLE_HEAD)
    for name, values in compared.iterrows():
        table.add_row(
            str(name), *(f"{value:.4g}" if isinstance(value, float) else shown(value) for value in values)
        )
    standard_output().print(table)
    if csv is not None:
        compared.to_csv(csv)
        typer.echo(csv)


def shown(value: object) -> str:
    """Return a value for a table; nothing for one that is missing."""
    return "" if value is None else str(value)


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="Run folder.")]) -> None:
    """Write the report of a run folder anew."""
    from fedrobust import api

    with complaints():
        typer.echo(api.write_report(folder))


@app.command(name="list")
def list_(
    family: Annotated[
        str, typer.Argument(help="models, recipes, rules, pre-aggregators, poisoning, ...; all without one.")
    ] = "",
) -> None:
    """List what a study file may name, with a line and the source of each."""
    from fedrobust import api

    if family and family not in api.FAMILIES:
        fail(f"{family!r}: choose one of {', '.join(api.FAMILIES)}")
    for name in [family] if family else api.FAMILIES:
        members = api.members(name)
        width = max(map(len, members), default=0) + 1
        typer.secho(name, bold=True)
        for member, summary in members.items():
            typer.echo(f"  {member:<{width}} {summary}")


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="Where to write the study file.")] = Path("study.toml"),
) -> None:
    """Write a study file with every key and its default, to start from."""
    from fedrobust.config import template

    if path.exists():
        fail(f"{path}: exists already; name another file")
    path.write_text(template(), encoding="utf-8")
    typer.echo(f"{path}: every key with its default; run it with: fedrobust run {path}")


@data.command(name="list")
def data_list(data_root: DataRoot = "") -> None:
    """List the data sets and which of them are on this machine."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from fedrobust import api
    from fedrobust.runs.console import standard_output

    table = Table(
        "name", "task", "classes", "channels", "train / val / test", "here", "licence", box=SIMPLE_HEAD
    )
    for row in api.list_datasets(data_root):
        here = ", ".join(f"{size} px" for size in row["sizes"]) or ("built in" if row["present"] else "-")
        table.add_row(
            row["name"],
            row["task"],
            str(row["classes"]),
            str(row["channels"]),
            " / ".join(map(str, row["counts"])),
            "refused" if row["refused"] else here,
            row["licence"],
        )
    standard_output().print(table)


@data.command(name="show")
def data_show(
    name: Annotated[str, typer.Argument(help="A MedMNIST name, phantom, or the path of an .npz file.")],
    size: Annotated[int, typer.Option(help="28, 64, 128 or 224 pixels.")] = 28,
    data_root: DataRoot = "",
) -> None:
    """Show what is in a data set: counts, classes, shapes, source, licence, digest."""
    from fedrobust import api

    with complaints():
        typer.echo(json.dumps(api.describe_dataset(name, size, data_root), indent=2))


@contextmanager
def complaints(folder: Callable[[], str] = str, go_on: str = "fedrobust run --resume") -> Iterator[None]:
    """Turn the errors that users can mend into one message: exit code 2, or 1 for a run that failed on its way.

    Args:
        folder: returns the run folder as far as there is one, to be told how to go on from.
        go_on: the command that goes on, the folder following.
    """
    from fedrobust.errors import FedrobustError

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except FedrobustError as error:
        fail(str(error), code=1 if isinstance(error, RuntimeError) else 2)
    except KeyboardInterrupt:
        how = f"; go on with: {go_on} {folder()}" if folder() else ""
        fail(f"stopped{how}", code=130)


def fail(message: str, code: int = 2) -> NoReturn:
    """Print `message` on standard error and exit."""
    typer.secho(f"error: {message}", fg="red", err=True)
    sys.exit(code)
