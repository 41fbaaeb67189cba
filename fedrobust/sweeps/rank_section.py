"""The ranks of rules on a sweep's page: a table and a picture for each metric."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from fedrobust.config import ConfigError
from fedrobust.sweeps.own_tolerance import with_own_tolerance
from fedrobust.sweeps.paired import Paired
from fedrobust.sweeps.ranks import DEFENCE, Ranks, compared_rules
from fedrobust.sweeps.row import Row
from fedrobust.sweeps.rows import SEED, defence_of, measured
from fedrobust.sweeps.values import shown

METRICS = {"balanced_accuracy": "Balanced accuracy", "auc": "AUC", "attack-success": "Attack success"}

FEWEST_RULES = 3

LEFT, WIDTH, STEP = 190, 700, 26
"""Of the picture, in pixels: room for names, whole width, height of a rule."""


@dataclass(frozen=True)
class Bar:
    """One line of the picture: from `x` to `end` at the height `y`."""

    x: float
    end: float
    y: float


@dataclass(frozen=True)
class RankPicture:
    """Ranks, and where they are drawn.

    Attributes:
        title: the name of the metric.
        ranks: the ranks.
        places: x and y of each rule's dot.
        bars: below rules that are not told apart.
        height: of the picture.
        tested: pairs of rules that were tested, those of the smallest p first.
    """

    title: str
    ranks: Ranks
    places: tuple[tuple[float, float], ...]
    bars: tuple[Bar, ...]
    height: int
    tested: tuple[Paired, ...]


def rank_pictures(rows: Sequence[Row]) -> list[RankPicture]:
    """Return the ranks of rules in each of `METRICS` that three or more of them have."""
    found = []
    for metric in METRICS:
        values: dict[str, dict[str, dict[object, float]]] = {}
        known = [row for row in rows if measured(row, metric)]
        others = [
            {key: shown(value) for key, value in row.settings.items() if key not in (*DEFENCE, SEED)}
            for row in known
        ]
        places = with_own_tolerance(others, list(map(defence_of, known)))
        for row, (setting, rule) in zip(known, places, strict=True):
            by_rule = values.setdefault(setting, {})
            by_rule.setdefault(rule, {})[row.experiment.get("seed", 0)] = row.figures[metric]
        rules = list(dict.fromkeys(rule for one in values.values() for rule in one))
        # Where no setting has results of all rules yet, there are no ranks yet.
        with suppress(ConfigError):
            if len(rules) >= FEWEST_RULES:
                found.append(picture_of(compared_rules(metric, rules, values)))
    return found


def picture_of(ranks: Ranks) -> RankPicture:
    """Return where ranks are drawn: 1 at the left, the number of rules at the right."""
    span = (WIDTH - LEFT - 20) / max(1, len(ranks.rules) - 1)

    def x(rank: float) -> float:
        return round(LEFT + 10 + (rank - 1) * span, 1)

    places = tuple((x(rank), STEP * place + 34.0) for place, rank in enumerate(ranks.ranks))
    bars = tuple(
        Bar(x(ranks.ranks[first]) - 5, x(ranks.ranks[last]) + 5, STEP * last + 45.0)
        for first, last in ranks.alike
    )
    tested = sorted((one for one in ranks.pairs if one.adjusted is not None), key=lambda one: one.p or 0.0)
    return RankPicture(
        METRICS.get(ranks.metric, ranks.metric),
        ranks,
        places,
        bars,
        STEP * len(ranks.rules) + 46,
        tuple(tested),
    )
