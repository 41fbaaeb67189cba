"""The section on the rounds."""

from collections.abc import Callable, Sequence
from typing import Any

from fedrobust.report import findings, thinning, wording
from fedrobust.report.epsilon import Epsilon
from fedrobust.report.folder import Round, Run
from fedrobust.report.sections.cells import score_cell
from fedrobust.report.tables import Cell, Table
from fedrobust.report.wording import NONE


def rounds(run: Run) -> dict[str, Any]:
    """Return the plot and the table of the rounds."""
    if not run.rounds:
        return {
            "figure": None,
            "table": None,
            "notes": [],
            "missing": findings.missing(run, "no round was completed"),
        }
    scored = [one for one in run.rounds if one.evaluation.clean]
    points, rows = (
        thinning.extremes(scored, _lines(scored)),
        thinning.spread(run.rounds, always=_kept_in(run)),
    )
    notes = [
        thinning.note(
            points, scored, "The plot", "in each stretch those with the lowest and the highest scores"
        ),
        thinning.note(rows, run.rounds, "The table", "in equal distances, and the kept one"),
    ]
    return {
        "figure": _round_figure(run, points),
        "table": _round_table(run, rows),
        "notes": [one for one in notes if one],
        "missing": findings.missing(run, "no round was evaluated on the test images"),
    }


def _kept_in(run: Run) -> Callable[[Round], bool]:
    return lambda one: one.number == run.model.selected_round


def _lines(scored: Sequence[Round]) -> list[Callable[[Round], float | None]]:
    """Return the values of the plot's lines: functions of a round."""

    def clean(metric: str) -> Callable[[Round], float | None]:
        return lambda one: one.evaluation.clean.score(metric) if one.evaluation.clean else None

    def attacked(attack: str, size: Epsilon) -> Callable[[Round], float | None]:
        def value(one: Round) -> float | None:
            found = one.evaluation.attacked.get(attack, {}).get(size)
            return found.score("accuracy") if found else None

        return value

    return [
        *map(clean, ("accuracy", "balanced_accuracy", "auc")),
        *(attacked(*each) for each in _attacked(scored)),
    ]


def _attacked(rounds: Sequence[Round]) -> list[tuple[str, Epsilon]]:
    """Return the attacks with their headline epsilons."""
    found = (wording.headlines(one.evaluation.attacked) for one in rounds)
    return list(dict.fromkeys((attack, size) for each in found for attack, size, _ in each))


def _round_figure(run: Run, points: Sequence[Round]) -> Any:
    if not points:
        return None
    # Imported here, so that writing a card does not import Plotly.
    from fedrobust.report import plots

    return plots.rounded(plots.by_round(points, run.model.selected_round).to_plotly_json())


def _round_table(run: Run, shown: Sequence[Round]) -> Table:
    attacked = _attacked(shown)
    head = [Cell("Accuracy", "test"), Cell("Balanced accuracy", "test"), Cell("AUC", "test")]
    head += [Cell(f"{wording.attack_name(attack)} {size.name}", "accuracy") for attack, size in attacked]
    head += [
        Cell("Accuracy", "validation"),
        Cell("Loss", "training"),
        Cell("Clients", "trained"),
        Cell("Epsilon", "spent"),
        Cell("Time"),
    ]
    selected = run.model.selected_round
    rows = []
    for one in shown:
        name = Cell(str(one.number), "kept" if one.number == selected else "start" if one.number == 0 else "")
        rows.append((name, _round_cells(one, attacked)))
    filled = [any(cells[index].text != NONE for _, cells in rows) for index in range(len(head))]
    return Table("Round", _kept(head, filled), [(name, _kept(cells, filled)) for name, cells in rows])


def _kept(cells: Sequence[Cell], filled: Sequence[bool]) -> list[Cell]:
    return [cell for cell, full in zip(cells, filled, strict=True) if full]


def _round_cells(one: Round, attacked: Sequence[tuple[str, Epsilon]]) -> list[Cell]:
    clean = one.evaluation.clean
    cells = [score_cell(clean, metric) for metric in ("accuracy", "balanced_accuracy", "auc")]
    for attack, size in attacked:
        cells.append(score_cell(one.evaluation.attacked.get(attack, {}).get(size), "accuracy", note=False))
    cells.append(score_cell(one.record.validation, "accuracy", note=False))
    clients = one.record.clients
    cells.append(Cell(NONE if clients.loss is None else f"{clients.loss:.3f}"))
    trained = NONE if clients.trained is None else f"{clients.trained:,}"
    if clients.sampled is not None and clients.trained is not None and clients.sampled != clients.trained:
        trained += f" of {clients.sampled:,}"
    cells.append(Cell(trained, f"{clients.failed:,} failed" if clients.failed else ""))
    epsilon, norm = one.record.epsilon, one.record.clip_norm
    cells.append(
        Cell(NONE if epsilon is None else f"{epsilon:.2f}", "" if norm is None else f"clip {norm:.3g}")
    )
    cells.append(Cell(wording.duration(one.record.seconds)))
    return cells
