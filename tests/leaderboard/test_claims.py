"""Claims: made from cells by hand, sealed, merged, shown."""

import json
from dataclasses import replace
from types import SimpleNamespace

import jsonschema
import pytest

from fedrobust.config import Experiment
from fedrobust.leaderboard.claim import (
    BreakRecord,
    ClaimError,
    ClaimRecord,
    file_digest,
    read_claim,
    write_claim,
)
from fedrobust.leaderboard.merge import claim_files, merged, submitted
from fedrobust.leaderboard.of_sweep import claims_of, robust_of
from fedrobust.leaderboard.page import boards, flags, render, write
from fedrobust.runs.codec import to_json
from fedrobust.runs.record import json_schema
from fedrobust.sweeps.row import Row
from fedrobust.sweeps.sweep import with_control

# Balanced accuracy by attack and seed: of seed 0 "ipm" is the worst, of seed 1 "delta-search".
BALANCED = {"none": (0.9, 0.8), "ipm": (0.5, 0.7), "delta-search": (0.6, 0.5)}
SUCCESS = {"pixel-backdoor": (0.2, 0.4)}


def row(folder, attack, seed, figures, rule="median", status="finished", code="c" * 64):
    study = Experiment.of(
        seed=seed,
        federation__aggregator=rule,
        federation__clients=4,
        poisoning__attack=attack,
        poisoning__malicious=1 if attack != "none" else 0,
    )
    if attack == "none":
        study = study.changed(federation__tolerate=1)
    study = with_control(study)
    name = f"{rule}-{attack}-{seed}"
    own = folder / "cells" / name
    own.mkdir(parents=True)
    content = {"schema": 2, "status": "finished", "dataset": {"name": "phantom", "digest": "d" * 64}}
    (own / "result.json").write_text(
        json.dumps(content | {"environment": {"fedrobust": "1.2", "numpy": "3.4"}})
    )
    (own / "model.keras").write_bytes(name.encode())
    settings = {"seed": seed, "federation.aggregator": rule, "poisoning.attack": attack}
    return Row(name, status, settings, study.to_dict(), figures, "", f"cells/{name}", code)


@pytest.fixture
def sweep(tmp_path):
    def made(seeds=(0, 1), rules=("median",), **changed):
        rows = [
            row(tmp_path, attack, seed, {"balanced_accuracy": values[seed], "chance": 0.5}, rule, **changed)
            for rule in rules
            for attack, values in BALANCED.items()
            for seed in seeds
        ]
        rows += [
            row(
                tmp_path,
                attack,
                seed,
                {"balanced_accuracy": 0.9, "attack-success": values[seed]},
                rule,
                **changed,
            )
            for rule in rules
            for attack, values in SUCCESS.items()
            for seed in seeds
        ]
        return SimpleNamespace(folder=tmp_path, rows=lambda: rows)

    return made


def test_the_worst_attack_is_that_of_each_seed(sweep, tmp_path):
    (claim,) = claims_of(sweep(), tmp_path / "claims", "ours")
    assert claim.name == "median"
    assert claim.seeds == (0, 1)
    assert claim.figures["balanced_accuracy"].values == (0.9, 0.8)
    assert claim.figures["worst balanced_accuracy"].values == (0.5, 0.5)
    # The means over seeds: 0.6 with ipm, 0.55 with delta-search.
    assert claim.worst_attack == {"balanced_accuracy": "delta-search", "attack-success": "pixel-backdoor"}
    assert claim.figures["worst attack-success"].mean == pytest.approx(0.3)
    assert claim.attacks["ipm"]["balanced_accuracy"].values == (0.5, 0.7)
    assert (claim.data, claim.footnote) == ("d" * 64, "ours")
    assert claim.versions == {"code": "c" * 12, "fedrobust": "1.2", "numpy": "3.4"}
    assert claim.setting["federation"]["clients"] == 4
    assert claim.defence["aggregator"] == "median"
    assert not {"aggregator", "tolerate"} & set(claim.setting["federation"])
    assert {"seed", "engine", "output"}.isdisjoint(claim.setting)
    assert [one.seed for one in claim.models] == [0, 1]
    model = (tmp_path / "claims" / claim.models[0].file).resolve()
    assert file_digest(model) == claim.models[0].digest


def test_an_attack_with_options_counts_in_the_robust_accuracy(tmp_path):
    figures = {
        "fgsm 8/255 accuracy": 0.6,
        "pgd(steps=40, restarts=2) 8/255 accuracy": 0.05,
        "pgd(steps=40, restarts=2) 4/255 accuracy": 0.01,
        "clients global accuracy": 0.0,
    }
    assert robust_of([row(tmp_path, "none", 0, figures)], [0])["robust accuracy"].values == (0.05,)


def test_doubts_are_flagged(sweep, tmp_path):
    one = sweep(seeds=(0,))
    (claim,) = claims_of(one, tmp_path / "claims")
    assert any("1 seed, fewer than 3" in why for why in claim.unreliable)
    assert not any("delta-search" in why for why in claim.unreliable)
    without = [each for each in one.rows() if "delta" not in each.hash]
    broken = [replace(each, status="failed", figures={}) if "ipm" in each.hash else each for each in without]
    (claim,) = claims_of(SimpleNamespace(folder=tmp_path, rows=lambda: broken), tmp_path / "claims")
    assert any("no attacker who knows the defence" in why for why in claim.unreliable)
    assert any("1 of 2 attacked cells have no result" in why for why in claim.unreliable)
    constant = [
        replace(each, figures={**each.figures, "balanced_accuracy": 0.52}) if "none" in each.hash else each
        for each in one.rows()
    ]
    (claim,) = claims_of(SimpleNamespace(folder=tmp_path, rows=lambda: constant), tmp_path / "claims")
    assert any("constant classifier" in why for why in claim.unreliable)


def test_a_claim_that_faced_fewer_attacks_than_others_of_its_table_is_flagged(sweep, tmp_path):
    """Without its worst attack the median would stand above the mean, and nothing would say why."""
    full = sweep(rules=("median", "mean"))
    kept = [each for each in full.rows() if not each.hash.startswith("median-delta-search")]
    one, other = claims_of(SimpleNamespace(folder=tmp_path, rows=lambda: kept), tmp_path / "claims")
    told = "attacks that other defences of this table faced have no result here: delta-search"
    assert (one.name, flags(one, [one, other])[-1]) == ("median", told)
    assert flags(other, [one, other]) == other.unreliable
    assert render([one, other]).count(told) == 1
    elsewhere = replace(other, setting={**other.setting, "data": {"name": "other"}}).sealed()
    assert flags(one, [one, elsewhere]) == one.unreliable, "in another table"


def test_a_sweep_without_an_attacked_result_claims_nothing(sweep, tmp_path):
    calm = [one for one in sweep().rows() if "none" in one.hash]
    with pytest.raises(ClaimError, match="nothing to claim"):
        claims_of(SimpleNamespace(folder=tmp_path, rows=lambda: calm), tmp_path)


def claimed(folder, about):
    """Return the claim of one cell of a study in a folder of its own, with an own module `net` and a record."""
    folder.mkdir()
    (folder / "net.py").write_text(about.get("content", ""))
    one = row(folder, "ipm", 0, {"balanced_accuracy": 0.5})
    own = folder / one.folder
    (own / "experiment.toml").write_text("")
    (own / "base.json").write_text(json.dumps({"folder": str(folder)}))
    (own / "result.json").write_text(
        json.dumps(json.loads((own / "result.json").read_text()) | about.get("change", {}))
    )
    study = {**one.experiment, "model": {**one.experiment["model"], "name": about.get("network", "edge-cnn")}}
    study["engine"] = {**study["engine"], "client-timeout": about.get("limit", 0.0)}
    cell = replace(one, experiment=study)
    (found,) = claims_of(SimpleNamespace(folder=folder, rows=lambda: [cell]), folder / "claims")
    assert read_claim(write_claim(found, folder / "a.claim.json")) == found
    return found


def recorded(*digests):
    return [{"change": {"model": {"network-digest": one * 16}}} for one in digests]


def weights(*digests):
    return [{"change": {"file-digests": {"weights": one * 16}}} for one in digests]


@pytest.mark.parametrize(
    ("pair", "shown"),
    [
        ([{"network": "net:Net", "content": text} for text in "ab"], "module-digests.model.name"),
        (recorded("a", "b"), "model.network-digest aaa"),
        (weights("c", "d"), "file-digests.weights ccc"),
        ([{"limit": limit} for limit in (5.0, 0.0)], "engine.client-timeout = 5.0"),
    ],
)
def test_files_of_one_name_and_limits_of_time_part_tables(tmp_path, pair, shown):
    folders = [tmp_path / name for name in "abc"]
    each = [claimed(*one) for one in zip(folders, [*pair, pair[0]], strict=True)]
    assert [len(board.claims) for board in boards(each)] == [2, 1]
    assert shown in render(each)


def test_a_claim_without_files_has_the_digest_that_it_had_before(claim):
    assert claim.files is None
    assert "files" not in to_json(claim)


@pytest.fixture
def claim(sweep, tmp_path):
    return claims_of(sweep(), tmp_path / "claims")[0]


def test_a_claim_is_written_and_read_and_fits_its_schema(claim, tmp_path):
    path = write_claim(claim, tmp_path / "a.claim.json")
    assert read_claim(path) == claim
    jsonschema.validate(to_json(claim), json_schema(ClaimRecord, "claim"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(to_json(claim) | {"seeds": "three"}, json_schema(ClaimRecord, "claim"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content["figures"]["worst balanced_accuracy"].update(mean=0.99), "its digest"),
        (lambda content: content.update(unreliable=[]), "its digest"),
        (lambda content: content.update(digest="0" * 64), "its digest"),
        (lambda content: content.update(schema=7), "reads 1"),
        (lambda content: content.update(seeds="three"), "no claim"),
        (lambda content: content.pop("setting"), "no claim"),
    ],
)
def test_a_claim_that_was_changed_is_refused(claim, tmp_path, change, words):
    path = write_claim(claim, tmp_path / "a.claim.json")
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ClaimError, match=words):
        read_claim(path)


def test_what_is_no_json_is_refused(tmp_path):
    path = tmp_path / "a.claim.json"
    for text in ("", "[]", "{", "3"):
        path.write_text(text)
        with pytest.raises(ClaimError):
            read_claim(path)


def broken(claim, submission="a" * 64, holds=True):
    return submitted(claim, BreakRecord(kind="client", submission=submission, name="my:Attack", holds=holds))


def test_claims_are_merged_once_and_their_breaks_together(claim, tmp_path):
    first = write_claim(broken(claim), tmp_path / "a.claim.json")
    second = write_claim(broken(claim, "b" * 64, holds=False), tmp_path / "b.claim.json")
    (found,) = merged([first, second])
    assert [one.submission[0] for one in found.breaks] == ["a", "b"]
    assert found.broken
    assert found.identity == claim.identity
    copied = tmp_path / "c.claim.json"
    copied.write_bytes(first.read_bytes())
    with pytest.raises(ClaimError, match="once more"):
        merged([first, second, copied])
    assert claim_files([tmp_path]) == [first, second, copied]
    with pytest.raises(ClaimError, match="neither"):
        claim_files([tmp_path / "nothing"])


def test_a_break_is_submitted_once(claim):
    once = broken(claim)
    assert once.digest != claim.digest
    with pytest.raises(ClaimError, match="in the claim already"):
        broken(once)


def test_the_page_has_unbroken_claims_first_and_settings_apart(sweep, tmp_path):
    one, other = claims_of(sweep(rules=("median", "mean")), tmp_path / "claims")
    files = [
        write_claim(broken(one), tmp_path / "1.claim.json"),
        write_claim(other, tmp_path / "2.claim.json"),
    ]
    found = merged(files)
    assert [each.name for each in found] == ["mean", "median"]
    assert len(boards(found)) == 1
    elsewhere = replace(other, setting={**other.setting, "data": {"name": "<other>"}}).sealed()
    assert len(boards([*found, elsewhere])) == 2
    page = render([*found, elsewhere])
    assert "3 claims" in page
    assert "1 broken by a submission" in page
    assert "&lt;other&gt;" in page
    assert "<other>" not in page
    assert "<script" not in page
    assert write(found, tmp_path / "board").read_text() == render(found)
