"""The page of an audit's card, alone or as a section of a run's page."""

import importlib.resources
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedrobust.atomic import atomic
from fedrobust.report.folder import ReportError
from fedrobust.report.tables import Cell, Table
from fedrobust.report.wording import NONE, percent

SCHEMAS = (1, 2)
"""Of cards that can be shown; 2 tells of a failed check what it is called and what to do next."""

MARKS = {
    "passed": "✓ passed",
    "failed": "✗ failed",
    "not applicable": "– not applicable",
    "not made": "– not made",
}


def write(folder: Path) -> Path:
    """Write ``card.html`` from the ``card.json`` in a folder, and return its path.

    Raises:
        ReportError: there is no card, or one of another schema.
    """
    path = folder / "card.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReportError(f"{path}: {error}") from error
    if not isinstance(card, dict) or card.get("schema") not in SCHEMAS:
        raise ReportError(
            f"{path}: not a card of schema {' or '.join(map(str, SCHEMAS))}; write it with the version that made it"
        )
    target = folder / "card.html"
    with atomic(target) as draft:
        draft.write_text(render(card), encoding="utf-8", errors="replace", newline="\n")
    return target


def render(card: Mapping[str, Any]) -> str:
    """Return the page of a card, as text."""
    import jinja2
    from markupsafe import Markup

    style = importlib.resources.files("fedrobust.report").joinpath("style.css").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fedrobust", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("card.html.j2").render(style=Markup(style), audit=section(card))


def section(card: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the section says; an empty dictionary where there was no audit."""
    if not card:
        return {}
    threat, data, settings = card["threat"], card["data"], card["settings"]
    extras = [
        f"{threat['bits']}-bit images" if threat["bits"] else "",
        "tied channels" if threat["tied"] else "",
    ]
    return {
        "name": card["model"]["name"],
        "word": card["verdict"]["word"],
        "sentence": card["verdict"]["sentence"],
        "deciding": list(card["verdict"]["deciding"]),
        "notes": list(card["notes"]),
        "checks": [
            {"called": "", "next": "", **check, "mark": MARKS.get(check["outcome"], check["outcome"])}
            for check in card["checks"]
        ],
        "failed": sum(check["outcome"] == "failed" for check in card["checks"]),
        "open": sum(check["outcome"] == "not made" for check in card["checks"]),
        "passed": sum(check["outcome"] == "passed" for check in card["checks"]),
        "figures": _figures(card),
        "classes": _classes(card),
        "curve": _curve(card),
        "attacks": _attacks(card),
        "facts": [
            ("Threat", ", ".join(filter(None, [threat["norm"], threat["space"], *extras]))),
            ("Epsilon", f"{threat['epsilon']} ({threat['epsilon-value'] * 255:.2f} grey levels)")
            if threat["norm"] == "linf"
            else ("Epsilon", str(threat["epsilon"])),
            ("Images", f"{data['n']} of {data['name']}, {data['split']} split"),
            ("Effort", f"{settings['effort']}: {settings['steps']} steps, {settings['queries']} queries"),
            ("Seed", str(settings["seed"])),
            ("Model", f"SHA-256 {card['model']['digest'][:16]}"),
            ("Data", f"SHA-256 {str(data['digest'])[:16]}"),
        ],
        "environment": ", ".join(
            f"{name} {card['environment'][name]}"
            for name in ("fedrobust", "tensorflow", "keras", "numpy", "python")
            if name in card.get("environment", {})
        ),
    }


def _shown(figure: Mapping[str, Any] | None, share: bool = True) -> Cell:
    if not figure or figure["value"] is None:
        return Cell(NONE)
    text = percent(figure["value"]) if share else f"{figure['value']:.3f}"
    low, high = figure["interval"] or (None, None)
    limits = "" if low is None else f"{percent(low)}–{percent(high)}" if share else f"{low:.2f} to {high:.2f}"
    counts, few = figure.get("counts"), figure.get("too-few")
    notes = [f"{counts[0]}/{counts[1]}" if counts else "", limits, f"too few: {few}" if few else ""]
    return Cell(text, " · ".join(filter(None, notes)))


def _figures(card: Mapping[str, Any]) -> Table:
    head = (Cell("Clean"), Cell("Worst case", "of all attacks"), Cell("Constant", "most frequent class"))
    rows = []
    names = [name for name in card["clean"] if not name.startswith("recall ")]
    for name in names:
        share = name not in ("auc", "mcc", "calibration error")
        clean, attacked = card["clean"][name], card["attacked"].get(name)
        constant = clean["constant"]
        always = NONE if constant is None else percent(constant) if share else f"{constant:.3f}"
        shown = name.upper() if name in ("auc", "mcc") else name.capitalize()
        rows.append(
            (Cell(shown, clean["method"]), (_shown(clean, share), _shown(attacked, share), Cell(always)))
        )
    standing = card["attacked"]["standing"]
    rows.append(
        (
            Cell("Right after every attack", "Wilson"),
            (Cell(NONE), _shown(standing), Cell(percent(standing["constant"]))),
        )
    )
    return Table("Figure", head, rows)


def _classes(card: Mapping[str, Any]) -> Table:
    head = (Cell("Images"), Cell("Right, clean"), Cell("Right, worst case"))
    rows = [
        (
            Cell(one["name"], "disease" if one["disease"] else ""),
            (
                Cell(str(one["n"])),
                Cell(percent(one["right"] / one["n"]), f"{one['right']}/{one['n']}"),
                Cell(percent(one["standing"] / one["n"]), f"{one['standing']}/{one['n']}"),
            ),
        )
        for one in card["classes"]
    ]
    return Table("Class", head, rows)


def _curve(card: Mapping[str, Any]) -> Table | None:
    if not card["curve"]:
        return None
    attacks = list(dict.fromkeys(row["attack"] for row in card["curve"]))
    epsilons = list(dict.fromkeys(row["epsilon"] for row in card["curve"]))
    found = {(row["attack"], row["epsilon"]): row for row in card["curve"]}
    rows = [
        (
            Cell(str(epsilon)),
            tuple(
                Cell(
                    percent(found[attack, epsilon]["accuracy"]),
                    "–".join(percent(limit) for limit in found[attack, epsilon]["interval"]),
                )
                for attack in attacks
            ),
        )
        for epsilon in epsilons
    ]
    return Table("Epsilon", tuple(Cell(attack.upper()) for attack in attacks), rows)


def _attacks(card: Mapping[str, Any]) -> Table:
    head = (
        Cell("Images", "attacked"),
        Cell("Broken", "at its epsilons"),
        Cell("Queries", "an image"),
        Cell("Seconds"),
    )
    rows = []
    for one in card["attacks"]:
        broken = [str(count) for count in one["broken"]]
        epsilons = ", ".join(f"{epsilon:.3g}" for epsilon in one["epsilons"])
        rows.append(
            (
                Cell(
                    one["name"], epsilons if len(one["epsilons"]) < 4 else f"{len(one['epsilons'])} epsilons"
                ),
                (
                    Cell(str(one["n"])),
                    Cell(", ".join(broken)),
                    Cell(f"{one['queries']:.1f}"),
                    Cell(f"{one['seconds']:.1f}"),
                ),
            )
        )
    return Table("Attack", head, rows)
