"""Figures of runs as files."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from fedrobust.api.sweeps import compare
from fedrobust.errors import ConfigError
from fedrobust.figures.of_audited import figures_of_audits
from fedrobust.figures.of_comparison import figures_of_comparison
from fedrobust.figures.of_heatmap import heatmap_figures
from fedrobust.figures.of_ranks import figure_of_ranks
from fedrobust.figures.of_run import figures_of_run
from fedrobust.figures.write import check_formats, write
from fedrobust.paths import expanded
from fedrobust.report.shares import ClientShares
from fedrobust.runs.folder import RunFolder
from fedrobust.sweeps import over_seeds as tables
from fedrobust.sweeps.audited import AuditedTable, audited_tables
from fedrobust.sweeps.ranks import ranks_if_any
from fedrobust.sweeps.results import FILE, Results


def write_figures(
    paths: str | Path | Iterable[str | Path],
    out: str | Path,
    formats: str | Sequence[str] = "svg",
    metrics: Sequence[str] = (),
) -> list[Path]:
    """Write the figures of a run, or of compared runs, as files, each with its data as CSV.

    Of a run: scores by round and by epsilon, attack and defence by round, clients' images and distances, and of its
    audit confusion matrices, ROC curves and calibration, as far as it has them. Of several runs or a sweep: each
    metric's mean over seeds with its 95 % interval, a heatmap of attacks by rules, and the rules' mean ranks; of
    audited sweeps clean against robust accuracy, unless metrics are named.

    Args:
        paths: a run folder, or several run and sweep folders to compare.
        out: folder of the files; files of the same names are replaced.
        formats: "svg", "png", "pdf", or "csv" for the data alone; one or several.
        metrics: of compared runs, such as "balanced_accuracy"; accuracy, AUC, the strongest attack's and attack success
            if empty.

    Returns:
        The paths of the files.

    Raises:
        ConfigError: a format or metric is unknown, there is nothing to draw, or vl-convert-python is not installed.
        RunFolderError, SweepError: a folder has no run.

    Example:
        >>> fedrobust.write_figures("runs/breast", "figures", ["pdf", "png"])  # doctest: +SKIP
    """
    chosen = [formats] if isinstance(formats, str) else list(formats)
    check_formats(chosen)
    folders = [paths] if isinstance(paths, str | Path) else list(paths)
    if len(folders) == 1 and (expanded(folders[0]) / "experiment.toml").is_file():
        folder = RunFolder.open(folders[0])
        found = figures_of_run(folder.record(), _counts(folder))
    else:
        compared = compare(folders)
        summary = tables.over_seeds(compared)
        found = [] if metrics else figures_of_audits(_audits(folders))
        found += figures_of_comparison(summary, metrics)
        found += heatmap_figures(summary, metrics)
        found += [figure_of_ranks(one) for one in ranks_if_any(compared, tables.metrics_of(summary, metrics))]
    if not found:
        raise ConfigError(f"{', '.join(map(str, folders))}: no round or metric is measured: nothing to draw")
    return write(found, Path(out), chosen)


def _audits(folders: Iterable[str | Path]) -> list[AuditedTable]:
    """Return the audited combinations of the sweeps among folders."""
    sweeps = [folder for folder in map(expanded, folders) if (folder / FILE).is_file()]
    return audited_tables([row for folder in sweeps for row in Results.open(folder).rows()])


def _counts(folder: RunFolder) -> Sequence[Sequence[int]]:
    """Return the training images of each client by class; empty if they are not recorded."""
    path = folder.file("partition.json")
    return ClientShares.read(path).counts if path.is_file() else []
