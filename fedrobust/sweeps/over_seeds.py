"""Compared runs as tables for papers: means over seeds with their intervals, one value a row, LaTeX."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fedrobust.config import ConfigError
from fedrobust.registry import did_you_mean
from fedrobust.sweeps.figures import SCORES, strongest_epsilon
from fedrobust.sweeps.spread import Spread

if TYPE_CHECKING:
    import pandas

SEED = "seed"

SHARES = (
    *(*SCORES, "chance", "malicious-influence", "probability-of-more", "recall", "low", "high"),
    *("censored", "oracle"),
)
"""Last words of names of metrics that are shares; also those that end in ``rate``. The last two are 0 or 1 of a run."""

DIFFERENCES = ("clients gain", "hospital gap")
"""Metrics that are differences of shares, beside those that end in the word for a share, as ``harm accuracy`` does."""


def over_seeds(compared: "pandas.DataFrame") -> "pandas.DataFrame":
    """Return the means over seeds of compared runs: one row for each combination of the other settings.

    Args:
        compared: from `fedrobust.sweeps.compare.compare`.

    Returns:
        The settings, ``seeds`` (number of seeds with a finished run), and of every metric ``accuracy``,
        ``accuracy low`` and ``accuracy high``: its mean and the limits of the mean's 95 % interval (Student's t), NaN
        with one seed. A seed counts once: of finished runs with the same settings and seed the first; the others are
        named in ``attrs["repeated"]``. Intervals are cut at the ends of a metric's range, see `range_of`.
    """
    import pandas

    keys = [key for key in compared.attrs["settings"] if key != SEED]
    again = repeated(compared)
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in compared.drop(index=again).to_dict("records"):
        groups.setdefault(tuple(str(row[key]) for key in keys), []).append(row)
    rows = [
        {
            **{key: runs[0][key] for key in keys},
            "seeds": sum(run["status"] == "finished" for run in runs),
            **_spreads(runs, compared.attrs["figures"]),
        }
        for runs in groups.values()
    ]
    table = pandas.DataFrame(rows)
    table.attrs.update(settings=keys, figures=compared.attrs["figures"], repeated=again)
    return table


def repeated(compared: "pandas.DataFrame") -> list[str]:
    """Return the names of finished runs with the settings and the seed of an earlier finished run.

    Two runs of one seed are no sample of seeds: an interval over them would be too narrow.

    Args:
        compared: from `fedrobust.sweeps.compare.compare`; without a column ``seed`` all runs have the same seed.
    """
    keys = [key for key in compared.attrs["settings"] if key != SEED]
    seen: set[tuple[str, ...]] = set()
    found = []
    for name, row in compared.to_dict("index").items():
        own = tuple(str(row.get(key)) for key in (*keys, SEED))
        if row["status"] != "finished":
            continue
        if own in seen:
            found.append(str(name))
        seen.add(own)
    return found


def repeated_line(names: Sequence[str]) -> str:
    """Return a sentence on runs that were not counted, "" without any.

    Example:
        >>> repeated_line(["median (2)"])
        'Not counted, because they repeat the seed of a run with the same settings: median (2).'
        >>> repeated_line([])
        ''
    """
    told = "Not counted, because they repeat the seed of a run with the same settings"
    return f"{told}: {', '.join(names)}." if names else ""


def tidy(compared: "pandas.DataFrame") -> "pandas.DataFrame":
    """Return compared runs with one value a row: run, settings, status, ``metric`` and ``value``.

    Args:
        compared: from `fedrobust.sweeps.compare.compare`.
    """
    keys, figures = compared.attrs["settings"], compared.attrs["figures"]
    return (
        compared.reset_index()
        .melt([*("run", *keys), "status"], figures, var_name="metric", value_name="value")
        .dropna(subset="value", ignore_index=True)
    )


def latex(summary: "pandas.DataFrame", metrics: Sequence[str] = ()) -> str:
    """Return means over seeds as a LaTeX table, for the package booktabs.

    Shares are given in percent. After the mean stands half the width of its 95 % interval, or its limits where it was
    cut at an end of the metric's range.

    Args:
        summary: from `over_seeds`.
        metrics: the columns, see `metrics_of`.

    Raises:
        ConfigError: no run has one of these metrics, or none is finished.
    """
    keys, shown = summary.attrs["settings"], metrics_of(summary, metrics)
    if not shown:
        raise ConfigError("no run is finished: there is no metric to write")
    counts = set(summary["seeds"])
    same = counts.pop() if len(counts) == 1 else None
    told = "the seeds in the column n" if same is None else "1 seed" if same == 1 else f"{same} seeds"
    heads = [_escaped(key.rpartition(".")[2].replace("-", " ")) for key in keys]
    heads += ["$n$"] * bool(counts) + [_title(metric) for metric in shown]
    lines = [
        f"% Mean over {told}, and half the width of its 95 % interval (Student's t){_or_limits(summary, shown)}.",
        *(f"% {line}" for line in (repeated_line(summary.attrs["repeated"]),) if line),
        rf"\begin{{tabular}}{{{'l' * len(keys)}{'r' * (len(heads) - len(keys))}}}",
        r"\toprule",
        rf"{' & '.join(heads)} \\",
        r"\midrule",
    ]
    for row in summary.to_dict("records"):
        cells = [_escaped(str(row[key])) for key in keys]
        cells += [str(row["seeds"])] * bool(counts) + [_cell(row, metric) for metric in shown]
        lines.append(rf"{' & '.join(cells)} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def markdown(summary: "pandas.DataFrame", metrics: Sequence[str] = ()) -> str:
    """Return means over seeds as a Markdown table, shares in percent; after the mean, half the width of its interval.

    Where the interval was cut at an end of the metric's range, its limits stand there.

    Args:
        summary: from `over_seeds`.
        metrics: the columns, see `metrics_of`.

    Raises:
        ConfigError: no run has one of these metrics.
    """
    keys, shown = summary.attrs["settings"], metrics_of(summary, metrics)
    percent = {metric: " (%)" if written_as(metric)[0] == 100 else "" for metric in shown}
    heads = [*keys, "seeds", *(f"{metric.replace('_', ' ')}{percent[metric]}" for metric in shown)]
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for row in summary.to_dict("records"):
        cells = [str(row[key]).replace("|", r"\|") for key in keys]
        cells += [
            str(row["seeds"]),
            *(_cell(row, metric).replace("$", "").replace(r"\pm", "±") for metric in shown),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for told in filter(None, (repeated_line(summary.attrs["repeated"]), cut_line(summary, shown))):
        lines += ["", told]
    return "\n".join([*lines, ""])


def metrics_of(summary: "pandas.DataFrame", wanted: Iterable[str] = ()) -> list[str]:
    """Return the metrics of a table: those `wanted`, or accuracy, AUC, the strongest attack's, and attack success.

    Raises:
        ConfigError: no run has one of them.
    """
    known, names = summary.attrs["figures"], list(wanted)
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or f"; choose from {', '.join(known)}"
            raise ConfigError(f'metric = "{name}": no finished run has it{hint}')
    usual = ("accuracy", "balanced_accuracy", "auc", strongest_epsilon(known), "attack-success")
    return names or [name for name in usual if name is not None and name in known]


def written_as(metric: str) -> tuple[int, str]:
    """Return the factor and the format of a metric in tables: shares in percent.

    Example:
        >>> [written_as(name) for name in ("fgsm 4/255 accuracy", "auc", "attack-success images")]
        [(100, '.1f'), (1, '.3f'), (1, '.4g')]
        >>> [written_as(name) for name in ("before removal attack-success", "durability censored", "hospital gap")]
        [(100, '.1f'), (100, '.1f'), (100, '.1f')]
    """
    last = metric.rpartition(" ")[2]
    if last == "auc":
        return 1, ".3f"
    success = metric.startswith(("attack-success", "before removal attack-success")) and last != "images"
    share = last in SHARES or last.endswith("rate") or success or metric in DIFFERENCES
    return (100, ".1f") if share else (1, ".4g")


def range_of(metric: str) -> tuple[float, float] | None:
    """Return the least and the greatest value of a metric: 0 and 1 of shares and AUC, -1 and 1 of their differences.

    Correlations (``mcc``, ``quadratic-kappa``) reach from -1 to 1, ``brier`` from 0 to 2. None for metrics without a
    known range: their intervals are not cut.

    Example:
        >>> [range_of(name) for name in ("fgsm 4/255 accuracy", "auc", "harm auc", "clients gain", "seconds")]
        [(0.0, 1.0), (0.0, 1.0), (-1.0, 1.0), (-1.0, 1.0), None]
    """
    if metric.startswith(("harm ", "cost ")) or metric in ("clients gain", "mcc", "quadratic-kappa"):
        return -1.0, 1.0
    if metric in ("brier", "hospital gap"):
        return 0.0, 2.0 if metric == "brier" else 1.0
    factor, form = written_as(metric)
    return (0.0, 1.0) if factor == 100 or form == ".3f" else None


def is_cut(row: Mapping[str, Any], metric: str) -> bool:
    """Return whether the interval of a metric was cut at an end of the metric's range.

    Example:
        >>> row = {"auc": 0.9, "auc low": 0.7, "auc high": 1.0}
        >>> is_cut(row, "auc"), is_cut({**row, "auc high": 0.98}, "auc"), is_cut({"auc": 1, "auc low": None}, "auc")
        (True, False, False)
    """
    low, high, ends = row[f"{metric} low"], row.get(f"{metric} high"), range_of(metric)
    # With the same value of all seeds the interval has no width: an end of the range is then the value.
    if ends is None or low is None or high is None or not low < high:
        return False
    return bool(low <= ends[0] or high >= ends[1])


def cut_line(summary: "pandas.DataFrame", metrics: Sequence[str]) -> str:
    """Return a sentence on which intervals were cut, "" if none was.

    Args:
        summary: from `over_seeds`.
        metrics: those shown.
    """
    names = [name for name in metrics if any(is_cut(row, name) for row in summary.to_dict("records"))]
    return f"Cut at the ends of the metric's range: intervals of {', '.join(names)}." if names else ""


def _or_limits(summary: "pandas.DataFrame", metrics: Sequence[str]) -> str:
    return (
        "; its limits where it was cut at the ends of the metric's range"
        if cut_line(summary, metrics)
        else ""
    )


def _spreads(runs: Sequence[dict[str, Any]], figures: Sequence[str]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name in figures:
        spread = Spread.of([run[name] for run in runs if not math.isnan(run[name])])
        ends = range_of(name)
        spread = spread.within(*ends) if spread and ends else spread
        mean, low, high = (spread.mean, spread.low, spread.high) if spread else (None, None, None)
        found |= {name: mean, f"{name} low": low, f"{name} high": high}
    return found


def _cell(row: dict[str, Any], metric: str) -> str:
    mean, high = row[metric], row[f"{metric} high"]
    if mean is None or math.isnan(mean):
        return "--"
    factor, form = written_as(metric)
    if is_cut(row, metric):
        return f"${factor * mean:{form}}$ ({factor * row[f'{metric} low']:{form}} to {factor * high:{form}})"
    half = "" if high is None or math.isnan(high) else rf" \pm {factor * (high - mean):{form}}"
    return f"${factor * mean:{form}}{half}$"


def _title(metric: str) -> str:
    words = metric.replace("_", " ").replace("-", " ").replace("auc", "AUC")
    return _escaped(f"{words[:1].upper()}{words[1:]}{' (%)' if written_as(metric)[0] == 100 else ''}")


def _escaped(text: str) -> str:
    r"""Return text with LaTeX's special characters escaped.

    Example:
        >>> print(_escaped("a_b 5 %"))
        a\_b 5 \%
    """
    special = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    }
    return "".join(special.get(letter, letter) for letter in text)
