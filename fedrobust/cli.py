"""The command line: thin, every command is one call of `fedrobust.api`.

What a command needs is imported inside of its function, so that ``--help`` is there at once.
"""

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import click
import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from fedrobust import runtime
from fedrobust.atomic import atomic
from fedrobust.complaints import EXIT_CODES, FAILED, NOT_ROBUST, complaints, fail, own_process
from fedrobust.paths import PathError, check_can_hold, expanded
from fedrobust.registry import did_you_mean
from fedrobust.runs.events import Event, ForecastMade
from fedrobust.streams import open_standard_streams

HELP = {"help_option_names": ["-h", "--help"]}


class Plain:
    """Help as plain text: Typer escapes brackets for Rich, which is not asked here."""

    def get_help(self, context: click.Context) -> str:
        """Return the text of ``--help``."""
        text: str = super().get_help(context)  # type: ignore[misc]
        return text.replace("\\[", "[")


class Command(Plain, TyperCommand):
    """One command; ``-h`` asks for its help, in which every argument is explained."""

    def __init__(self, *args: Any, **settings: Any):
        settings["context_settings"] = {**HELP, **(settings.get("context_settings") or {})}
        super().__init__(*args, **settings)
        for parameter in self.params:
            # Typer sets this before it calls click's constructor, which since 8.4 sets it to nothing.
            if isinstance(parameter, TyperArgument) and not parameter.help and self.callback is not None:
                parameter.help = _help_of(self.callback, parameter.name or "")


def _help_of(function: Callable[..., Any], parameter: str) -> str | None:
    """Return the help that a function's signature gives for a parameter."""
    annotation = inspect.signature(inspect.unwrap(function)).parameters[parameter].annotation
    helps = [getattr(each, "help", None) for each in getattr(annotation, "__metadata__", ())]
    return next(filter(None, helps), None)


class Commands(Plain, TyperGroup):
    """A group of commands, which names the closest one where there is none of a name."""

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that `args` begin with."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            context.fail(
                f"no such command: {args[0]!r}{did_you_mean(args[0], self.commands)} Choose one of: "
                f"{', '.join(self.commands)}"
            )
        return super().resolve_command(context, args)


class Everything(Commands):
    """All commands, behind the one boundary that no traceback crosses."""

    def main(self, *args: Any, **settings: Any) -> Any:
        """Run what the command line says, and exit."""
        open_standard_streams()
        return super().main(*args, **settings)

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Take ``--traceback`` from wherever it stands."""
        ours = args[: args.index("--")] if "--" in args else args
        if "--traceback" in ours:
            args = ["--traceback", *(word for word in args if word != "--traceback")]
        return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> Any:
        """Run the command."""
        with complaints(), own_process():
            done = super().invoke(context)
            sys.stdout.flush()  # a full disk is told here, not by the interpreter as it ends
            return done


app = typer.Typer(
    name="fedrobust",
    cls=Everything,
    help="Simulate federated learning on medical images, attack it, and say honestly whether what looks robust is "
    "robust.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=HELP,
)
data = typer.Typer(
    cls=Commands,
    help="List data sets and show what is in one.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings=HELP,
)
app.add_typer(data, name="data")


def _version(asked: bool) -> None:
    if asked:
        from fedrobust import __version__

        typer.echo(f"fedrobust {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    traceback: Annotated[
        bool,
        typer.Option(
            "--traceback", help="Show where in the code an error arose; so does FEDROBUST_TRACEBACK=1."
        ),
    ] = False,
) -> None:
    """Take what holds for every command; `complaints` reads it."""


DataRoot = Annotated[
    str, typer.Option("--data-root", help="Folder looked in first; then $FEDROBUST_DATA, then ~/.medmnist.")
]


@app.command(cls=Command)
def run(
    study: Annotated[
        Path | None,
        typer.Argument(help="Study file, or breast, derma, mednist, pneumonia; without one, the quickstart."),
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
    from fedrobust.terminal.run import ConsoleListener

    runtime.claim_process()
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


@app.command(cls=Command)
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
    from fedrobust.terminal.run import ConsoleListener
    from fedrobust.terminal.screen import standard_output

    runtime.claim_process()
    settings = {"data__root": data_root} if data_root else {}

    def show(event: Event) -> None:
        if not isinstance(event, ForecastMade):
            listener(event)
            return
        table = Table("", "forecast", box=SIMPLE_HEAD)
        for name, value in event.rows:
            table.add_row(name, value)
        standard_output().print(table)

    with ConsoleListener() as listener:
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
Out = Annotated[
    str, typer.Option(help="Folder of results; what is finished there of the same request is not run again.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace the results of something else that are in --out.")
]


Input = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        help="The images that a foreign model takes: 0..1, 0..255, -1..1, uint8, "
        '"mean=0.485 0.456 0.406, std=0.229 0.224 0.225", with bgr or channels-first behind it; by default as its '
        "Rescaling and Normalization layers and its input's type show, else 0..1.",
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--labels", help='The data\'s label of each of its outputs, in order: "1,0", or names with commas.'
    ),
]
Head = Annotated[
    list[str] | None,
    typer.Option("--head", help="Name or number (from 0) of the output, of a model with several."),
]


@app.command(cls=Command)
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
    input: Input = None,
    labels: Labels = None,
    head: Head = None,
    norm: Norm = "linf",
    space: Space = "native",
    bits: Bits = 0,
    tied: Tied = False,
    split: SplitName = "test",
    images: Count = 0,
    seed: Seed = 0,
    out: Out = "",
    force: Force = False,
    data_root: DataRoot = "",
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
    with ConsoleListener() as listener, complaints(lambda: out, "fedrobust attack ... --out"):
        result = api.attack_model(
            model,
            data,
            attacks or ("fgsm", "pgd"),
            epsilons or (),
            listener,
            input=input or "",
            labels=labels or "",
            head=head or "",
            norm=norm,
            space=space,
            bits=bits,
            tied=tied,
            split=split,
            images=images,
            seed=seed,
            data_root=data_root,
            out=out,
            force=force,
        )
    standard_output().print(attack_table(result))
    for note in notes(result):
        say(standard_output(), note)
    typer.echo(f"{result['folder']}/attack.json")


@app.command(cls=Command)
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
    input: Input = None,
    labels: Labels = None,
    head: Head = None,
    norm: Norm = "linf",
    space: Space = "native",
    bits: Bits = 0,
    tied: Tied = False,
    split: SplitName = "test",
    images: Count = 0,
    seed: Seed = 0,
    out: Out = "",
    force: Force = False,
    data_root: DataRoot = "",
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
    with ConsoleListener() as listener, complaints(lambda: out, "fedrobust audit ... --out"):
        card = api.audit_model(
            model,
            data,
            listener,
            epsilon=epsilon,
            input=input or "",
            labels=labels or "",
            head=head or "",
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
            force=force,
        )
    say(standard_output(), verdict_of(card))
    for note in notes(card):
        say(standard_output(), note)
    typer.echo(f"{card['folder']}/card.html")
    if strict and card["verdict"]["word"] != "robust":
        sys.exit(NOT_ROBUST)


@app.command(cls=Command)
def bench(
    sweep: Annotated[
        Path | None, typer.Argument(help="Study file in which any value may be a list of values.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change or sweep a key: --set seed=[0,1,2]. Repeatable.")
    ] = None,
    out: Annotated[str, typer.Option(help="Sweep folder; by default runs/NAME-sweep.")] = "",
    workers: Annotated[int, typer.Option(min=0, help="Cells run at a time; 0: one a core.")] = 0,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Run the cells with this key=value alone. Repeatable.")
    ] = None,
    data_root: DataRoot = "",
    resume: Annotated[
        Path | None,
        typer.Option(help="Go on with the sweep in this folder, with the settings it was started with."),
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
    """Show runs side by side: the settings in which they differ, and what came out."""
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


@app.command(cls=Command)
def report(folder: Annotated[Path, typer.Argument(help="Run folder.")]) -> None:
    """Write the report of a run folder anew."""
    from fedrobust import api

    typer.echo(api.write_report(folder))


@app.command(cls=Command, name="list")
def list_(
    family: Annotated[
        str, typer.Argument(help="models, recipes, rules, pre-aggregators, poisoning, ...; all without one.")
    ] = "",
) -> None:
    """List what a study file may name, with a line and the source of each."""
    from fedrobust import api
    from fedrobust.config.families import FAMILIES

    for name in [family] if family else FAMILIES:
        members = api.members(name)
        width = max(map(len, members), default=0) + 1
        typer.secho(name, bold=True)
        for member, summary in members.items():
            typer.echo(f"  {member:<{width}} {summary}")


@app.command(cls=Command)
def init(
    path: Annotated[Path, typer.Argument(help="Where to write the study file.")] = Path("study.toml"),
) -> None:
    """Write the quickstart as a study file with every key and what it means, to start from."""
    from fedrobust.config import QUICKSTART, template

    check_new_file(path, "PATH")
    write_new_file(path, template(QUICKSTART))
    typer.echo(f"{path}: the quickstart, every key with what it means; run it with: fedrobust run {path}")


@data.command(cls=Command, name="list")
def data_list(data_root: DataRoot = "") -> None:
    """List the data sets and which of them are on this machine."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from fedrobust import api
    from fedrobust.terminal.screen import standard_output

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


@data.command(cls=Command, name="show")
def data_show(
    name: Annotated[str, typer.Argument(help="A MedMNIST name, phantom, or the path of an .npz file.")],
    size: Annotated[int, typer.Option(help="28, 64, 128 or 224 pixels.")] = 28,
    data_root: DataRoot = "",
) -> None:
    """Show what is in a data set: counts, classes, shapes, source, licence, digest."""
    from fedrobust import api

    typer.echo(json.dumps(api.describe_dataset(name, size, data_root), indent=2))


def check_new_file(path: Path, setting: str, force: bool = False) -> None:
    """Refuse a file that cannot be written, or that is there already and may not be replaced.

    Raises:
        PathError: it is there already, or its folder is not.
    """
    file = expanded(path)
    if file.is_dir() or (file.exists() and not force):
        raise PathError(f"{setting} = {str(path)!r}: exists already; name another file")
    if not file.parent.is_dir():
        raise PathError(f"{setting} = {str(path)!r}: there is no folder {file.parent}; make it first")
    check_can_hold(file.parent, setting)


def write_new_file(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        DiskError: it cannot be written.
    """
    with atomic(expanded(path)) as draft:
        draft.write_text(text, encoding="utf-8")
