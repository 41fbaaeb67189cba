"""The pictures of RESULTS.md: Vega-Lite descriptions in, SVG files out."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import vl_convert
from figures import Record
from tables import EPSILONS, MODELS, SETS, Printed, federated, is_plain, ordered

from fedrobust.epsilon import epsilon_value
from fedrobust.evaluation.intervals import wilson

COLOURS = {
    "paper, undefended": "#999999",
    "paper, defended": "#555555",
    "as printed": "#D55E00",
    "as printed, defended": "#E69F00",
    "corrected": "#1F7FC0",
    "corrected, defended": "#009E73",
    "constant classifier": "#000000",
    "plain": "#D55E00",
    "adversarial training": "#1F7FC0",
    "distillation": "#009E73",
}
"""Colours after Okabe and Ito (2008)."""

PARTITIONS = ("iid", "Dirichlet(0.5)")

CONFIG = {
    "background": "white",
    "font": "Liberation Sans, Arial, sans-serif",
    "axis": {"labelFontSize": 11, "titleFontSize": 12, "gridColor": "#e6e6e6"},
    "header": {"labelFontSize": 12, "titleFontSize": 12},
    "legend": {"labelFontSize": 11, "labelLimit": 260, "title": None, "orient": "bottom", "columns": 4},
    "view": {"stroke": "#cccccc"},
}


def save(spec: Mapping[str, Any], path: Path) -> None:
    """Write a picture."""
    whole = {"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "config": CONFIG, **spec}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(vl_convert.vegalite_to_svg(whole, vl_version="5.20") + "\n", encoding="utf-8")


def scale(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the colours of the series in `rows`."""
    present = {row["series"] for row in rows}
    shown = {name: colour for name, colour in COLOURS.items() if name in present}
    return {"domain": list(shown), "range": list(shown.values())}


def panels(rows: list[dict[str, Any]], view: Mapping[str, Any], columns: int = 3) -> dict[str, Any]:
    """Return one titled view for every existing pair of data set and model or partition.

    Vega-Lite's facets are not used: if a pair is missing, they draw rows under wrong names.
    """
    pairs = [(one, other) for one in SETS.values() for other in (*MODELS.values(), *PARTITIONS)]
    found = {pair: [row for row in rows if (row["set"], row["model"]) == pair] for pair in pairs}
    return {
        "columns": columns,
        "concat": [
            {**view, "title": ", ".join(pair), "data": {"values": distinct(found[pair])}}
            for pair in pairs
            if found[pair]
        ],
    }


def clean_picture(arms: Mapping[str, Iterable[Record]], printed: Printed, path: Path) -> None:
    """Draw Table I: the paper's accuracy, ours with intervals, and the constant classifier's."""
    rows = []
    for arm, records in arms.items():
        for one in ordered(record for record in records if is_plain(record)):
            if one["status"] != "finished" or one["weights"] == "imagenet":
                continue
            n, right = one["n"], one["clean"]["correct"]
            low, high = wilson(right, n)
            where = {"set": SETS[one["dataset"]], "model": MODELS[one["model"]]}
            rows.append({**where, "series": arm, "value": right / n, "low": low, "high": high})
            rows.append({**where, "series": "constant classifier", "value": one["constant"] / n})
            paper = printed.row(one)
            if paper:
                rows.append({**where, "series": "paper, undefended", "value": paper[0]})
    y = {"field": "series", "type": "nominal", "title": None, "sort": list(COLOURS), "axis": None}
    colour = {"field": "series", "type": "nominal", "scale": scale(rows)}
    x = {"field": "value", "type": "quantitative", "title": "accuracy", "axis": {"format": "%"}}
    x["scale"] = {"domain": [0, 1]}
    save(
        {
            **panels(
                rows,
                {
                    "width": 220,
                    "height": 70,
                    "layer": [
                        {
                            "mark": {"type": "rule", "strokeWidth": 2},
                            "encoding": {
                                "x": {**x, "field": "low"},
                                "x2": {"field": "high"},
                                "y": y,
                                "color": colour,
                            },
                            "transform": [{"filter": "isValid(datum.low)"}],
                        },
                        {
                            "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
                            "encoding": {"x": x, "y": y, "color": colour},
                        },
                    ],
                },
            ),
        },
        path,
    )


def epsilon_picture(
    undefended: Mapping[str, Iterable[Record]],
    defended: Mapping[str, Iterable[Record]],
    printed: Printed,
    path: Path,
) -> None:
    """Draw Tables II and III: accuracy under FGSM by epsilon, ours and the paper's."""
    rows = []
    for records, defence, suffix in (
        (undefended, "none", ""),
        (defended, "adversarial training", ", defended"),
    ):
        for arm, found in records.items():
            for one in ordered(found):
                is_other = one["weights"] == "imagenet" or "2of255" in one["cell"]
                if one["status"] != "finished" or is_other:
                    continue
                n = one["n"]
                counts = [one["clean"]["correct"], *(one["fgsm"][name]["correct"] for name in EPSILONS)]
                where = {"set": SETS[one["dataset"]], "model": MODELS[one["model"]]}
                paper = printed.row(one, defence)
                for place, epsilon in enumerate((0.0, *map(float, EPSILONS))):
                    at = {**where, "epsilon": 1000 * epsilon}
                    rows.append({**at, "series": arm + suffix, "value": counts[place] / n})
                    rows.append({**at, "series": "constant classifier", "value": one["constant"] / n})
                    if paper:
                        name = "paper, defended" if suffix else "paper, undefended"
                        rows.append({**at, "series": name, "value": paper[place]})
    dashed = {
        "condition": {
            "test": "indexof(datum.series, 'paper') == 0 || datum.series == 'constant classifier'",
            "value": [4, 3],
        },
        "value": [1, 0],
    }
    save(
        {
            **panels(
                rows,
                {
                    "width": 220,
                    "height": 150,
                    "mark": {"type": "line", "point": {"size": 22}, "strokeWidth": 1.8},
                    "encoding": {
                        "x": {
                            "field": "epsilon",
                            "type": "quantitative",
                            "title": "epsilon in thousandths",
                            "axis": {"tickCount": 6},
                        },
                        "y": {
                            "field": "value",
                            "type": "quantitative",
                            "title": "accuracy under FGSM",
                            "axis": {"format": "%"},
                            "scale": {"domain": [0, 1]},
                        },
                        "color": {"field": "series", "type": "nominal", "scale": scale(rows)},
                        "strokeDash": dashed,
                    },
                },
            ),
        },
        path,
    )


def federation_picture(records: Iterable[Record], path: Path) -> None:
    """Draw accuracy under FGSM by epsilon of the ten hospitals' models: every seed, and the mean over seeds."""
    rows = []
    for (dataset, partition, what), figures in federated(records).items():
        if what not in COLOURS:
            continue
        n, constant = figures[0][1]["n"], figures[0][1]["constant"]
        where = {"set": dataset, "model": partition}
        for epsilon in ("0", *figures[0][0]["fgsm"]):
            levels = round(255 * epsilon_value(epsilon), 4)
            values = [
                (one["fgsm"][epsilon] if epsilon != "0" else one["clean"])["correct"] / n
                for one, _ in figures
            ]
            at = {**where, "levels": levels}
            mean = sum(values) / len(values)
            rows.append({**at, "series": what, "mean": mean, "low": min(values), "high": max(values)})
            rows.append({**at, "series": "constant classifier", "mean": constant / n})
    colour = {"field": "series", "type": "nominal", "scale": scale(rows)}
    x: dict[str, Any] = {
        "field": "levels",
        "type": "quantitative",
        "title": "epsilon in grey levels (of 255)",
    }
    x["scale"], x["axis"] = {"type": "sqrt"}, {"values": [0, 0.5, 1, 2, 4, 8], "format": "~g"}
    y = {"type": "quantitative", "title": "accuracy under FGSM", "axis": {"format": "%"}}
    y["scale"] = {"domain": [0, 1]}
    dashed = {
        "condition": {"test": "datum.series == 'constant classifier'", "value": [4, 3]},
        "value": [1, 0],
    }
    band = {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": colour}
    line = {"x": x, "y": {**y, "field": "mean"}, "color": colour, "strokeDash": dashed}
    layers = [
        {
            "mark": {"type": "area", "opacity": 0.18},
            "encoding": band,
            "transform": [{"filter": "isValid(datum.low)"}],
        },
        {"mark": {"type": "line", "strokeWidth": 1.8}, "encoding": line},
    ]
    save(panels(rows, {"width": 330, "height": 170, "layer": layers}, columns=2), path)


def confidence_picture(points: Mapping[str, Any], path: Path) -> None:
    """Draw Figure 1: the predicted probability of one chest X-ray by epsilon."""
    save(
        {
            "width": 460,
            "height": 200,
            "data": {"values": points["points"]},
            "layer": [
                {
                    "mark": {"type": "line", "point": True},
                    "encoding": {
                        "x": {"field": "epsilon", "type": "quantitative", "title": "epsilon"},
                        "y": {
                            "field": "pneumonia",
                            "type": "quantitative",
                            "title": "probability of pneumonia",
                            "axis": {"format": "%"},
                            "scale": {"domain": [0, 1]},
                        },
                        "color": {"field": "model", "type": "nominal"},
                    },
                },
                {
                    "mark": {"type": "rule", "strokeDash": [4, 3], "color": "#808080"},
                    "encoding": {"y": {"datum": 0.5}},
                },
            ],
        },
        path,
    )


def distinct(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows without repetitions, in their order."""
    return list({json.dumps(row, sort_keys=True): row for row in rows}.values())
