"""The claims that the results of a sweep make."""

import copy
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedrobust.config.study_file import base_of
from fedrobust.leaderboard.claim import ClaimedFigure, ClaimedModel, ClaimError, ClaimRecord, file_digest
from fedrobust.runs.record import RunRecord
from fedrobust.study.module_digests import module_digests
from fedrobust.sweeps.cell import MODULES
from fedrobust.sweeps.controls import IGNORED, control_of, is_attacked, settings_of
from fedrobust.sweeps.digests import digests_of
from fedrobust.sweeps.figures import attacked_accuracy
from fedrobust.sweeps.results import Results, record_in
from fedrobust.sweeps.row import Row
from fedrobust.sweeps.rows import defence_of, is_oracle, status_of
from fedrobust.sweeps.spread import Spread
from fedrobust.sweeps.values import flattened

HARM, SUCCESS = ("balanced_accuracy", "auc"), "attack-success"
"""Metrics of which an attack wants less, and the one of which it wants more."""

ROBUST = "robust accuracy"
"""Accuracy under adversarial images, at the largest epsilon and of the attack that costs most; not poisoned."""

DEFENCE = ("aggregator", "pre-aggregators", "server-optimizer", "tolerate", "tolerate-quantile")
"""Settings of ``[federation]`` that make a defence."""

ADAPTIVE = "delta-search"
"""The attack that knows the defence."""

FEWEST_SEEDS = 3

PACKAGES = ("tensorflow", "keras", "numpy")


def claims_of(results: Results, folder: Path, footnote: str = "") -> list[ClaimRecord]:
    """Return a claim for each defence and setting of a sweep.

    Args:
        results: of the sweep.
        folder: of the claims' files, from which paths of models count.
        footnote: a remark by those who claim.

    Raises:
        ClaimError: no attacked cell is finished.
    """
    rows = results.rows()
    calm: dict[str, list[Row]] = {}
    for row in rows:
        if not is_attacked(row):
            calm.setdefault(settings_of(row, (*IGNORED, "seed")), []).append(row)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if is_attacked(row):
            groups.setdefault(settings_of(row, (*NOT_SETTING, "seed")), []).append(row)
    found = []
    for group in groups.values():
        controls = controls_of(group, calm.get(settings_of(group[0], (*IGNORED, "seed")), []))
        claim = claim_of(group, controls, results, folder, footnote)
        found += [claim] if claim else []
    if not found:
        raise ClaimError(f"{results.folder}: no attacked cell is finished: there is nothing to claim")
    return found


NOT_SETTING = ("name", "poisoning.attack")
"""Settings in which the cells of one claim may differ, beside the seed and settings that change no result."""


def controls_of(group: Sequence[Row], calm: Sequence[Row]) -> list[Row]:
    """Return the cells without an attack, one of each seed, whose rule tolerates as many clients as in `group`."""
    found: dict[Any, Row] = {}
    for row in group:
        seed = row.experiment.get("seed")
        same = [one for one in calm if one.experiment.get("seed") == seed]
        control = control_of(row, same)
        if control is not None:
            found.setdefault(seed, control)
    return list(found.values())


def claim_of(
    group: Sequence[Row], controls: Sequence[Row], results: Results, folder: Path, footnote: str
) -> ClaimRecord | None:
    """Return the claim of attacked cells and their controls, None if none of the attacked ones is finished."""
    done = [row for row in group if status_of(row) == "finished"]
    quiet = [row for row in controls if status_of(row) == "finished"]
    if not done:
        return None
    seeds = sorted({int(row.experiment["seed"]) for row in (*done, *quiet)})
    attacks = {
        attack: figures_of([row for row in done if attack_of(row) == attack], seeds)
        for attack in dict.fromkeys(map(attack_of, done))
    }
    worst, names = worst_of(done, attacks, seeds)
    records = [record_in(results.folder / row.folder) for row in (*done, *quiet)]
    known = [one for one in records if one is not None]
    if not known:
        raise ClaimError(
            f"{results.folder}: the folders of its cells are gone: a claim is made where they are"
        )
    setting = copy.deepcopy(dict(group[0].experiment))
    limit = setting.get("engine", {}).get("client-timeout")
    for name in ("name", "seed", "engine", "output"):
        setting.pop(name, None)
    if limit:
        setting["engine"] = {"client-timeout": limit}
    federation = dict(setting["federation"])
    defence = {name: federation.pop(name) for name in DEFENCE if name in federation}
    poisoning = {name: value for name, value in setting["poisoning"].items() if name != "attack"}
    setting |= {"federation": federation, "poisoning": poisoning}
    return ClaimRecord(
        setting=setting,
        defence=defence,
        name=defence_of(group[0]),
        worst_attack=names,
        figures={**figures_of(quiet, seeds), **worst, **robust_of(quiet, seeds)},
        attacks=attacks,
        seeds=tuple(seeds),
        models=tuple(models_of(quiet, results.folder, folder)),
        data=known[0].dataset.digest if known[0].dataset else "",
        files=files_of(setting, known[0], results.folder / (*done, *quiet)[0].folder) or None,
        versions=versions_of(known, done),
        unreliable=tuple(doubts(group, done, quiet, seeds, attacks)),
        footnote=footnote,
    ).sealed()


def files_of(setting: Mapping[str, Any], record: RunRecord, folder: Path) -> dict[str, str]:
    """Return the digests of the files that a claim's setting names, beside its images.

    Args:
        setting: of the claim.
        record: of a cell.
        folder: of a cell, which knows where its own modules are.
    """
    read = {key: digest for key, digest in digests_of(record).items() if key != "data.digest"}
    study = folder / "experiment.toml"
    base = base_of(study) if study.is_file() else None
    own = module_digests(flattened(setting), base)
    return read | {f"{MODULES}.{key}": digest for key, digest in own.items()}


def attack_of(row: Row) -> str:
    """Return a cell's attack."""
    return str(row.section("poisoning").get("attack", "none"))


def figures_of(rows: Iterable[Row], seeds: Sequence[int]) -> dict[str, ClaimedFigure]:
    """Return the claimed metrics of cells that differ in their seeds."""
    by_seed = {int(row.experiment["seed"]): row.figures for row in rows}
    found = {}
    for name in (*HARM, SUCCESS):
        values = [by_seed[seed][name] for seed in seeds if seed in by_seed and name in by_seed[seed]]
        if values:
            found[name] = figure_of(values)
    return found


def robust_of(rows: Iterable[Row], seeds: Sequence[int]) -> dict[str, ClaimedFigure]:
    """Return the accuracy under adversarial images of cells that differ in their seeds, if all have measured it."""
    by_seed = {int(row.experiment["seed"]): row.figures for row in rows}
    values = []
    for seed in seeds:
        found: dict[float, list[float]] = {}
        for name, value in by_seed.get(seed, {}).items():
            attacked = attacked_accuracy(name)
            if attacked is not None:
                found.setdefault(attacked[1], []).append(value)
        if not found:
            return {}
        values.append(min(found[max(found)]))
    return {ROBUST: figure_of(values)}


def figure_of(values: Sequence[float]) -> ClaimedFigure:
    """Return mean and interval of values of seeds, which are shares: an interval is cut off at 0 and 1.

    Example:
        >>> figure_of([0.5]).low is None, round(figure_of([0.8, 0.9, 1.0]).low, 3), figure_of([0.8, 0.9, 1.0]).high
        (True, 0.652, 1.0)
    """
    spread = Spread.of(values)
    assert spread is not None
    spread = spread.within(0.0, 1.0)
    return ClaimedFigure(mean=spread.mean, low=spread.low, high=spread.high, values=tuple(values))


def worst_of(
    rows: Sequence[Row], attacks: Mapping[str, Mapping[str, ClaimedFigure]], seeds: Sequence[int]
) -> tuple[dict[str, ClaimedFigure], dict[str, str]]:
    """Return each metric's worst attack of each seed, and the attack with the worst mean."""
    figures, names = {}, {}
    for name in (*HARM, SUCCESS):
        choose = max if name == SUCCESS else min
        values = [
            choose(found)
            for seed in seeds
            if (
                found := [
                    row.figures[name]
                    for row in rows
                    if row.experiment["seed"] == seed and name in row.figures
                ]
            )
        ]
        if values:
            figures[f"worst {name}"] = figure_of(values)
            means = {attack: found[name].mean for attack, found in attacks.items() if name in found}
            names[name] = choose(means, key=lambda attack: means[attack])
    return figures, names


def models_of(rows: Iterable[Row], sweep: Path, folder: Path) -> Iterable[ClaimedModel]:
    """Yield the models of cells whose files are there."""
    for row in rows:
        path = sweep / row.folder / "model.keras"
        if row.folder and path.is_file():
            file = Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
            yield ClaimedModel(
                seed=int(row.experiment["seed"]), attack=attack_of(row), file=file, digest=file_digest(path)
            )


def versions_of(records: Sequence[RunRecord], rows: Sequence[Row]) -> dict[str, str]:
    """Return the versions of what computed the cells; several ones stand beside one another."""

    def told(values: Iterable[Any]) -> str:
        return ", ".join(dict.fromkeys(str(value) for value in values if value))

    found = {"code": told(row.code[:12] for row in rows)}
    for name in ("fedrobust", *PACKAGES):
        found[name] = told(one.environment.get(name) for one in records)
    return {name: text for name, text in found.items() if text}


def doubts(
    group: Sequence[Row],
    done: Sequence[Row],
    quiet: Sequence[Row],
    seeds: Sequence[int],
    attacks: Mapping[str, Any],
) -> Iterable[str]:
    """Yield why the figures of a claim may be better than the truth."""
    if len(seeds) < FEWEST_SEEDS:
        yield f"{len(seeds)} seed{'s' * (len(seeds) > 1)}, fewer than {FEWEST_SEEDS}"
    if not any(ADAPTIVE in attack for attack in attacks):
        yield f"no attacker who knows the defence was tried ({ADAPTIVE})"
    if len(done) < len(group):
        count = f"{len(group) - len(done)} of {len(group)} attacked cells"
        yield f"{count} have no result: the worst attack may be among them"
    if len(done) < len(attacks) * len(seeds):
        yield "some attacks were not run with all seeds"
    if not quiet:
        yield "no cell without an attack: the cost of the defence is not known"
    if len({row.code for row in done}) > 1:
        yield "cells were run by several versions of the code"
    if any("tolerated" in row.figures and is_oracle(row) for row in done):
        yield "the rule was given the true number of malicious clients, which no server knows"
    chances = [row.figures["chance"] for row in quiet if "chance" in row.figures]
    balanced = [row.figures["balanced_accuracy"] for row in quiet if "balanced_accuracy" in row.figures]
    if chances and balanced and sum(balanced) / len(balanced) <= max(chances) + 0.05:
        yield "without an attack its balanced accuracy is that of a constant classifier: there is nothing to defend"


def setting_key(claim: ClaimRecord) -> str:
    """Return what is the same for claims that may stand in one table."""
    return json.dumps([claim.setting, claim.data, claim.files], sort_keys=True, default=str)
