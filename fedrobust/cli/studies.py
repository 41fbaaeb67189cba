"""Commands for one study: run it, forecast its cost, write its report, write a first study file.

What a command needs is imported inside of its function, so that ``--help`` is fast.
"""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedrobust import runtime
from fedrobust.cli.app import Command, app, examples
from fedrobust.cli.new_file import check_new_file, write_new_file
from fedrobust.cli.options import DataRoot, Log, Settings, Study
from fedrobust.cli.output import Json, JsonResult, Quiet, listener, write_json
from fedrobust.cli.sweeps import run_seeds
from fedrobust.complaints import complaints, fail
from fedrobust.runs.events import Event, ForecastMade

if TYPE_CHECKING:
    from fedrobust.runs.run import Run


@app.command(
    cls=Command,
    epilog=examples(
        "fedrobust run", "fedrobust run breast --set federation.aggregator=median --out runs/median"
    ),
)
def run(
    study: Study = None,
    set_: Settings = None,
    out: Annotated[
        str, typer.Option(help="Run folder, new or empty; by default a new one below output.root (runs).")
    ] = "",
    data_root: DataRoot = "",
    engine: Annotated[str, typer.Option(help="threads or ray; the same as --set engine.name=...")] = "",
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Resume the unfinished run here; --set may change engine.*, output.report, output.keep-every."
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            help="Run the study with this many seeds, 2 or more, several at a time: means and intervals."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="With --seeds: runs at a time; 0: one per core.")] = 0,
    log: Log = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Run a study: federate, attack, distil, export, report."""
    from fedrobust import api

    runtime.claim_process()
    settings: dict[str, Any] = {"data__root": data_root} if data_root else {}
    if engine:
        settings["engine__name"] = engine
    if resume is not None and (study is not None or out or data_root):
        fail("--resume DIR goes on with the study in DIR: leave out the study file, --out and --data-root")
    if workers and seeds is None:
        fail(
            "--workers N is the number of runs at a time of --seeds N; threads of one run: --set engine.workers=N"
        )
    if seeds is not None:
        if log:
            fail("--log is for one run: leave out --seeds")
        if resume is not None:
            fail("--resume DIR with --seeds: go on with the seeds by fedrobust bench --resume DIR")
        run_seeds(api.experiment(study, set_ or (), **settings), seeds, out, workers, quiet, json)
        return
    with listener(quiet, json) as listening, complaints(lambda: listening.folder):
        if resume is not None:
            finished = api.resume(resume, listening, log=log or (), overrides=set_ or (), **settings)
        else:
            one = api.experiment(study, set_ or (), **settings)
            finished = api.run(one, listening, out=out, log=log or ())
    _tell(finished, quiet, json)


def _tell(finished: "Run", quiet: bool, json: bool) -> None:
    """Write where the report of a run is, or its folder if it has none; with ``--json`` the events have told."""
    reported = finished.report.is_file()
    where = finished.report if reported else finished.path
    if quiet:
        typer.echo(where)
    elif not json:
        typer.echo(f"{'report' if reported else 'run folder'}: {where}")


@app.command(cls=Command, epilog=examples("fedrobust demo", "fedrobust demo --out runs/talk"))
def demo(
    out: Annotated[
        str, typer.Option(help="Run folder, new or empty; by default a new one below runs/.")
    ] = "",
) -> None:
    """Show a small federation under attack, in about a minute: for talks; nothing to download."""
    from fedrobust import api

    runtime.claim_process()
    typer.echo("Ten simulated hospitals train one model; three of them send reversed updates.")
    typer.echo("The server's rule, multi-Krum, looks for them; an audit attacks the final model.")
    with listener(quiet=False, json=False) as listening, complaints(lambda: listening.folder):
        finished = api.run("demo", listening, out=out)
    _tell(finished, quiet=False, json=False)


@app.command(
    cls=Command, epilog=examples("fedrobust train breast", "fedrobust train study.toml --out runs/central")
)
def train(
    study: Study = None,
    set_: Settings = None,
    out: Annotated[
        str, typer.Option(help="Run folder, new or empty; by default a new one below output.root (runs).")
    ] = "",
    data_root: DataRoot = "",
    log: Log = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train a study's model on all images in one place: the baseline that a federation is compared with."""
    from fedrobust import api

    runtime.claim_process()
    settings = {"data__root": data_root} if data_root else {}
    with listener(quiet, json) as listening, complaints(lambda: listening.folder):
        one = api.experiment(study, set_ or (), **settings)
        finished = api.train(one, listening, out=out, log=log or ())
    _tell(finished, quiet, json)


@app.command(
    cls=Command,
    epilog=examples("fedrobust doctor breast", "fedrobust doctor study.toml --set federation.clients=100"),
)
def doctor(
    study: Study = None,
    set_: Settings = None,
    data_root: DataRoot = "",
    json: JsonResult = False,
) -> None:
    """Forecast time, memory and messages of a study, and refuse what does not fit; train nothing."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from fedrobust import api
    from fedrobust.terminal.screen import standard_output

    runtime.claim_process()
    settings = {"data__root": data_root} if data_root else {}

    def show(event: Event) -> None:
        if not isinstance(event, ForecastMade):
            listening(event)
            return
        table = Table("", "forecast", box=SIMPLE_HEAD)
        for name, value in event.rows:
            table.add_row(name, value)
        standard_output().print(table)

    with listener(quiet=False, json=json, events=False) as listening:
        figures = api.doctor(api.experiment(study, set_ or (), **settings), listening if json else show)
    if json:
        write_json(figures)
    else:
        typer.echo("it fits")


@app.command(
    cls=Command,
    epilog=examples("fedrobust report runs/mine", "fedrobust report runs/quickstart-20261126-193418"),
)
def report(folder: Annotated[Path, typer.Argument(help="Run folder.")]) -> None:
    """Write the report of a run folder again."""
    from fedrobust import api

    typer.echo(api.write_report(folder))


@app.command(
    cls=Command,
    epilog=examples(
        "fedrobust init study.toml --data breastmnist", "fedrobust init study.toml --from breast"
    ),
)
def init(
    path: Annotated[Path, typer.Argument(help="Where to write the study file.")] = Path("study.toml"),
    data: Annotated[
        str,
        typer.Option(
            help="Data set, as in data.name: settings that learn on real images; else the quickstart."
        ),
    ] = "",
    from_: Annotated[
        str, typer.Option("--from", help="Shipped study to start from: breast, derma, mednist or pneumonia.")
    ] = "",
    data_root: DataRoot = "",
) -> None:
    """Write a study file to start from, with every key explained."""
    from fedrobust.config import QUICKSTART, Experiment, starting, template
    from fedrobust.config.shipped import shipped_study

    check_new_file(path, "PATH")
    if data and from_:
        fail("--data NAME with --from STUDY: a study has its own data; leave one out")
    values, about = QUICKSTART, "the quickstart"
    if from_:
        name, file = shipped_study(from_)
        values, about = Experiment.load(file).to_dict(), f"the study {name}"
    if data:
        from fedrobust import api
        from fedrobust.data.search_path import seen_from

        dataset = api.load_dataset(data, root=data_root)
        images, sites = len(dataset.train), len(dataset.sites.names) if dataset.sites else 0
        values = starting(
            seen_from(path.absolute().parent, data, data_root), images, sites, dataset.multilabel
        )
        about = f"a study of {data}, {images:,} training images"
        about += f" of {sites} sites, each a client" if sites > 1 else ""
    write_new_file(path, template(values))
    typer.echo(
        f"{path}: {about}, every key with what it means; run it with: fedrobust run {quote(str(path))}"
    )
