"""Commands for several studies: run a sweep, compare runs.

What a command needs is imported inside of its function, so that ``--help`` is fast.
"""

import sys
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedrobust.cli.app import Command, app, examples
from fedrobust.cli.leaderboard import show_leaderboard, submit_break
from fedrobust.cli.new_file import check_new_file, check_table_file, write_new_file, write_table
from fedrobust.cli.options import DataRoot
from fedrobust.cli.output import JsonResult, Quiet, SweepJson, sweep_listener, write_json
from fedrobust.complaints import FAILED, complaints, fail

if TYPE_CHECKING:
    from fedrobust.config import Experiment
    from fedrobust.sweeps.plan import SweepPlan
    from fedrobust.sweeps.results import Results
    from fedrobust.terminal.sweep import SweepConsole
    from fedrobust.terminal.sweep_lines import SilentSweep


@app.command(
    cls=Command,
    epilog=examples("fedrobust bench sweep", 'fedrobust bench study.toml --set "seed=[0,1,2]" --workers 2'),
)
def bench(
    sweep: Annotated[
        Path | None, typer.Argument(help="Study file in which any value may be a list of values.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change or sweep a key: --set seed=[0,1,2]. Repeatable.")
    ] = None,
    out: Annotated[
        str, typer.Option(help="Sweep folder; by default NAME-sweep below output.root (runs).")
    ] = "",
    workers: Annotated[int, typer.Option(min=0, help="Cells run in parallel; 0: one per core.")] = 0,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Run only the cells with this key=value. Repeatable.")
    ] = None,
    data_root: DataRoot = "",
    resume: Annotated[
        Path | None,
        typer.Option(help="Resume the sweep in this folder, with the settings it was started with."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Check every cell, forecast time, memory and disk, show shared work; train nothing.",
        ),
    ] = False,
    leaderboard: Annotated[
        list[Path] | None,
        typer.Option(
            help="Run nothing: claims of a sweep's folder, or of files with claims, as one page. Repeatable."
        ),
    ] = None,
    break_: Annotated[
        Path | None,
        typer.Option("--break", help="Check a break of the claim in this file; see the next options."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="With --break: .npz with adversarial images, labels and index.")
    ] = None,
    client: Annotated[
        str, typer.Option(help="With --break: a malicious client, my_module:Attack; its code is run.")
    ] = "",
    model: Annotated[
        str, typer.Option(help="With --images: digest of the claim's model; by default the first.")
    ] = "",
    footnote: Annotated[str, typer.Option(help="With --leaderboard: a remark in the claims.")] = "",
    quiet: Quiet = False,
    json: SweepJson = False,
) -> None:
    """Run every combination of a sweep file's values; finished cells are skipped."""
    from fedrobust import api

    if leaderboard or break_ is not None:
        if sweep is not None or resume is not None or (leaderboard and break_ is not None):
            fail(
                "--leaderboard and --break run no sweep file: leave out SWEEP and --resume, and one of the two"
            )
        if leaderboard:
            show_leaderboard(leaderboard, out, footnote, quiet, json)
        elif break_ is not None:
            submit_break(break_, images, client, model, out, workers, quiet, json)
        return
    if images is not None or client or model or footnote:
        fail("--images, --client and --model go with --break CLAIM.json, --footnote with --leaderboard DIR")
    if (sweep is None) == (resume is None):
        fail("name a sweep file, or --resume DIR to go on with the sweep in DIR")
    if resume is not None and (set_ or only or out or data_root):
        fail("--resume DIR goes on as the sweep was started: leave out --set, --only, --out and --data-root")
    if dry_run:
        with complaints(lambda: ""):
            plan = api.plan_bench(
                sweep, resume or out, workers, overrides=set_ or (), only=only or (), data_root=data_root
            )
        _show(plan, json)
        return
    with (
        sweep_listener(quiet, json) as listener,
        complaints(lambda: listener.folder, "fedrobust bench --resume"),
    ):
        results = (
            api.resume_bench(resume, listener, workers=workers)
            if resume is not None
            else api.bench(
                Path(sweep or ""),
                listener,
                out=out,
                workers=workers,
                overrides=set_ or (),
                only=only or (),
                data_root=data_root,
            )
        )
    if not quiet and not json:
        _show_audited(results)
    _end(listener, quiet)


def _show_audited(results: "Results") -> None:
    """Print what the audits of a sweep left, if it has any."""
    from fedrobust.terminal.audited import audited_output
    from fedrobust.terminal.screen import standard_output

    for part in audited_output(results.rows()):
        if isinstance(part, str):
            typer.echo(part)
        else:
            standard_output().print(part)


def _show(plan: "SweepPlan", json: bool) -> None:
    """Print a sweep's plan."""
    from fedrobust.terminal.plan import plan_tables
    from fedrobust.terminal.screen import standard_output

    if json:
        write_json(plan.to_json())
        return
    for table in plan_tables(plan):
        standard_output().print(table)


def _say(*lines: str) -> None:
    """Print the lines that say something."""
    for line in filter(None, lines):
        typer.echo(line)


def _end(listener: "SweepConsole | SilentSweep", quiet: bool) -> None:
    """Write the path of the page with ``--quiet``, and exit with 1 where a cell failed or could not be run."""
    if quiet:
        typer.echo(listener.page)
    if listener.failed or listener.missing:
        sys.exit(FAILED)


def run_seeds(
    study: "Experiment", seeds: int, out: str, workers: int, quiet: bool = False, json: bool = False
) -> None:
    """Run a study with several seeds, and print means and their intervals."""
    from fedrobust import api
    from fedrobust.sweeps.over_seeds import cut_line, metrics_of
    from fedrobust.terminal.means import NOTE, means
    from fedrobust.terminal.screen import standard_output

    with (
        sweep_listener(quiet, json) as listener,
        complaints(lambda: listener.folder, "fedrobust bench --resume"),
    ):
        results = api.run_seeds(study, seeds, listener, out=out, workers=workers)
    if not quiet and not json:
        screen = standard_output()
        summary = api.over_seeds([results.folder])
        for table in means(summary, screen.width):
            screen.print(table)
        _say(NOTE, cut_line(summary, metrics_of(summary)))
        _show_audited(results)
    _end(listener, quiet)


@app.command(
    cls=Command,
    epilog=examples(
        "fedrobust compare runs/mean runs/median",
        "fedrobust compare runs/sweep --over-seeds --latex table.tex",
    ),
)
def compare(
    folders: Annotated[list[Path], typer.Argument(help="Run folders, or folders of sweeps.")],
    over_seeds: Annotated[
        bool,
        typer.Option("--over-seeds", help="Show means over seeds and their 95 % intervals instead of runs."),
    ] = False,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="Metrics of means and of --latex, such as balanced_accuracy. Repeatable."),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the table into this file.")] = None,
    tidy: Annotated[
        Path | None,
        typer.Option(help="Also write one value a row into this file, which ends in .csv or .parquet."),
    ] = None,
    latex: Annotated[
        Path | None, typer.Option(help="Also write a LaTeX table of the means over seeds into this file.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Also write a Markdown table of the means over seeds into this file.")
    ] = None,
    ranks: Annotated[
        bool,
        typer.Option(
            "--ranks",
            help="Show ranks of rules over the sweep's settings, and paired tests over seeds, instead of runs.",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the files.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Write nothing but the paths of the files; errors as ever.")
    ] = False,
    json: JsonResult = False,
) -> None:
    """Compare runs: the settings in which they differ, and their metrics."""
    from fedrobust import api
    from fedrobust.sweeps.over_seeds import cut_line, metrics_of, repeated_line
    from fedrobust.terminal.means import NOTE, means
    from fedrobust.terminal.ranks import rank_tables
    from fedrobust.terminal.screen import standard_output
    from fedrobust.terminal.sweep import comparison, records

    if quiet and json:
        fail("--quiet with --json: leave one out")
    if ranks and over_seeds:
        fail("--ranks with --over-seeds: leave one out")
    for setting, file in (("csv", csv), ("tidy", tidy), ("latex", latex), ("markdown", markdown)):
        if file is not None:
            check_new_file(file, setting, force)
    if tidy is not None:
        check_table_file(tidy, "tidy")
    compared = api.compare(folders)
    summary = api.over_seeds(folders)
    metrics_of(summary, metric or ())
    ranked = [api.ranks(folders, one) for one in metric or ("",)] if ranks else []
    if json and ranks:
        write_json([asdict(one) | {"alike": one.alike} for one in ranked])
    elif json:
        write_json(records(summary if over_seeds else compared.reset_index()))
    elif not quiet:
        screen = standard_output()
        shown = (
            chain.from_iterable(map(rank_tables, ranked))
            if ranks
            else (
                means(summary, screen.width, metric or ())
                if over_seeds
                else comparison(compared, screen.width)
            )
        )
        for table in shown:
            screen.print(table)
        if over_seeds:
            _say(NOTE, cut_line(summary, metrics_of(summary, metric or ())))
        if over_seeds or ranks:
            _say(repeated_line(summary.attrs["repeated"]))
        for one in ranked:
            typer.echo(f"{one.metric.replace('_', ' ')}: {one.note}")
    written = []
    if csv is not None:
        write_new_file(csv, summary.to_csv(index=False) if over_seeds else compared.to_csv())
        written.append(csv)
    if tidy is not None:
        write_table(tidy, api.tidy(folders))
        written.append(tidy)
    if latex is not None:
        write_new_file(latex, api.latex_table(folders, metric or ()))
        written.append(latex)
    if markdown is not None:
        write_new_file(markdown, api.markdown_table(folders, metric or ()))
        written.append(markdown)
    for file in () if json else written:
        typer.echo(file)
