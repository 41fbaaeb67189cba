"""The checks of papers' claims: their studies are valid, and a claim appears only outside of chance."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "experiments/poisoning"


@pytest.fixture(scope="module")
def claims():
    sys.path.insert(0, str(HERE))
    import claims

    yield claims
    sys.path.remove(str(HERE))
    sys.modules.pop("claims", None)
    sys.modules.pop("kept", None)


def test_every_claim_is_a_valid_study_and_shares_its_control(claims, tmp_path):
    cells = claims.cells_of(claims.CLAIMS)
    assert len(cells) == len(set(cells)) < 2 * len(claims.CLAIMS)
    sweep = claims.sweep_of(claims.CLAIMS, [0, 1], tmp_path)
    assert len(sweep.cells) == 2 * len(cells)
    studies = {
        (
            one.poisoning.attack,
            one.federation.aggregator,
            one.poisoning.last_round,
            " + ".join(one.federation.postprocessors),
        )
        for one in (cell.experiment for cell in sweep.cells)
    }
    assert studies == {(cell.attack, cell.rule, cell.last, cell.postprocessor) for cell in cells}
    assert {cell.experiment.tolerated for cell in sweep.cells} == {2}, "controls tolerate as many"


def results(claims, own, control):
    """Return what was measured of the first claim, three seeds each."""
    claim = claims.Claim("one", "does harm", claims.Cell("a", "mean"), claims.Cell("none", "mean"))
    rows = [
        {
            "attack": cell.attack,
            "rule": "mean",
            "last": 0,
            "postprocessor": "",
            "seed": seed,
            "attack-success": value,
        }
        for cell, values in ((claim.cell, own), (claim.control, control))
        for seed, value in enumerate(values)
    ]
    return claim, rows


@pytest.mark.parametrize(
    ("own", "control", "expected"),
    [
        ([0.9, 0.8, 0.85], [0.1, 0.0, 0.1], "yes"),
        ([0.1, 0.0, 0.1], [0.9, 0.8, 0.85], "the opposite"),
        ([0.5, 0.6, 0.5], [0.6, 0.4, 0.5], "not shown"),
        ([0.5], [0.1], "not shown"),
    ],
)
def test_a_claim_appears_only_if_its_interval_leaves_zero(claims, own, control, expected):
    claim, rows = results(claims, own, control)
    row = claims.table([claim], rows).splitlines()[2]
    assert row.split("|")[-2].strip() == expected
    assert f"| {len(own)} |" in row
    assert claims.mean([100 * one for one in own]) in row


def test_the_page_has_the_table_of_the_results(claims):
    assert claims.table(claims.CLAIMS, claims.KEPT.read()) in claims.KEPT.page.read_text(encoding="utf-8")


def test_seeds_without_their_control_do_not_count(claims):
    claim, rows = results(claims, [0.9, 0.8, 0.7], [0.1])
    assert "| 1 | 90.0 | 10.0 | +80.0 |" in claims.table([claim], rows)
    assert len(claims.table([claim], rows[:3]).splitlines()) == 2


def test_a_claim_is_told_apart_after_the_correction_for_all_claims(claims):
    """By hand: differences of 10, 20 and 24 points have t = 4.3162 and p = 0.0497, of two claims twice that."""
    claim, rows = results(claims, [0.10, 0.20, 0.24], [0.0, 0.0, 0.0])
    assert claims.table([claim], rows).splitlines()[2].split("|")[-3:-1] == [" 0.05 ", " yes "]
    for line in claims.table([claim, claim], rows).splitlines()[2:]:
        assert line.split("|")[-3:-1] == [" 0.099 ", " yes, uncorrected "]


def test_no_interval_reaches_beyond_what_two_shares_can_differ(claims):
    claim, rows = results(claims, [1.0, 0.9, 0.8], [0.0, 0.0, 0.1])
    assert "| +86.7 (+48.7 to +100.0) |" in claims.table([claim], rows)
