"""Certified accuracies as a table on the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from fedrobust.runs.record import MetricsRecord
from fedrobust.terminal.figures import constant, percent
from fedrobust.terminal.screen import PLAIN


def certificate_table(found: Mapping[str, Any]) -> Table:
    """Return a row for each radius, and what stands beside it: the model without noise, and a constant classifier."""
    about = found["smoothing"]
    shown = Table(
        title=escape(f"{found['model']}, {found['n']} images, noise of sigma {about['sigma']:g}"),
        caption=(
            "No perturbation within the radius changes the smoothed model's answer, except with probability "
            f"{about['alpha']:g} an image. {about['samples']} samples certify up to {about['largest-radius']:.3f}."
        ),
        **PLAIN,
    )
    for name in ("l2 radius", "certified", "95 %", "balanced"):
        shown.add_column(name, justify="right", no_wrap=True)
    for one in found["certified"]:
        shown.add_row(f"{one['radius']:.3f}", *_share(one["accuracy"]), _balanced(found, one))
    return shown


def lines(found: Mapping[str, Any]) -> list[str]:
    """Return what stands beside the certified accuracies, in sentences."""
    without, smoothed = found["unsmoothed"], found["smoothed"]
    return [
        *[f"{note}." for note in found["notes"]],
        f"The model without noise: {percent(without['value'])}; smoothed: {percent(smoothed['value'])}, abstains on "
        f"{percent(found['abstains']['value'])}.",
        f"A constant classifier is certified at every radius: {constant(_always(found), auc=False)}.",
    ]


def client_table(found: Mapping[str, Any]) -> Table:
    """Return a row for each number of malicious clients, above the constant classifier and the groups' models."""
    groups = [one["accuracy"]["value"] for one in found["groups"]]
    attackers = ", ".join(map(str, found["malicious"])) or "none"
    shown = Table(
        title=escape(
            f"{found['data']['name']}, {found['n']} images, vote of {len(groups)} groups of clients"
        ),
        caption=(
            f"Share of images that get their label whatever so many clients send (FLCert-D). One model: "
            f"{percent(min(groups))} to {percent(max(groups))}. A constant classifier, certified against all clients: "
            f"{constant(_always(found), auc=False)}. Malicious clients of the study: {attackers}."
        ),
        **PLAIN,
    )
    for name in ("malicious", "certified", "95 %", "balanced"):
        shown.add_column(name, justify="right", no_wrap=True)
    for one in found["certified"]:
        shown.add_row(str(one["clients"]), *_share(one["accuracy"]), _balanced(found, one))
    return shown


def _always(found: Mapping[str, Any]) -> MetricsRecord:
    """Return the constant classifier's metrics: its accuracy, and of which classes there are images."""
    there = {one["label"] for one in found["images"]}
    recall = tuple(0.0 if label in there else None for label in range(len(found["data"]["labels"])))
    rate = found["majority"]["value"]
    return MetricsRecord(accuracy=rate, majority_rate=rate, recall=recall)


def _balanced(found: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    return "-" if _always(found).one_class else percent(row["balanced-accuracy"])


def _share(share: Mapping[str, Any]) -> tuple[str, str]:
    low, high = share["interval"]
    return percent(share["value"]), f"{100 * low:.1f}-{100 * high:.1f}"
