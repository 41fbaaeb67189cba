"""A privacy budget in ``site.toml``: how it is read, what `deploy check` says of it, and what the node is told."""

import argparse
import errno
import os
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedrobust.cli.app import deploy
from fedrobust.deployment import dry_run, starting, supernode
from fedrobust.deployment.folder_file import DeploymentError
from fedrobust.deployment.inspection import inspect_site
from fedrobust.deployment.ledger import make_ledger
from fedrobust.deployment.site import LEDGER, Site
from fedrobust.privacy import BudgetError, PrivacyBudget, Releases, Update

LINES = "privacy-epsilon = 8\nprivacy-delta = 0.01\n"


@pytest.fixture
def with_budget(deployment):
    """Return a function from lines of ``site.toml`` to the site of the first hospital."""
    folder = deployment.sites[0].folder

    def read(lines, ledger=True):
        path = folder / "site.toml"
        path.write_text(path.read_text() + lines)
        site = Site.read(folder)
        if ledger:
            make_ledger(site)
        return site

    return read


def test_a_site_has_no_budget_unless_it_sets_one(deployment):
    site = deployment.sites[0]
    assert site.budget is None
    assert (site.folder / LEDGER).parent.is_dir()
    assert not [each.text for each in inspect_site(site) if "budget" in each.text]


def test_a_budget_is_read_and_written_with_its_ledger(with_budget):
    site = with_budget(LINES)
    assert site.budget == PrivacyBudget(8.0, 0.01, site.folder / LEDGER)
    assert site.budget.ledger == site.folder / LEDGER
    (site.folder / "site.toml").write_text(site.to_toml())
    assert Site.read(site.folder) == site


def test_studies_of_two_federations_may_share_a_ledger(with_budget, tmp_path):
    site = with_budget(f"{LINES}privacy-ledger = '{tmp_path / 'other' / 'privacy.json'}'\n", ledger=False)
    assert site.budget.ledger == tmp_path / "other" / "privacy.json"


def test_a_ledger_is_made_once_by_its_command_and_in_a_folder_that_is_there(with_budget, deployment):
    with pytest.raises(DeploymentError, match=r"site\.toml: no privacy budget: set privacy-epsilon"):
        make_ledger(deployment.sites[0])
    site = with_budget(LINES, ledger=False)
    (missing,) = [each for each in inspect_site(site) if each.fault]
    assert "make one with fedrobust deploy ledger FOLDER" in missing.text
    done = CliRunner().invoke(deploy, ["ledger", str(site.folder)])
    assert (done.exit_code, site.budget.updates()) == (0, ())
    assert f"{site.folder / LEDGER}: an empty ledger" in done.output
    site.budget.reserve(Update("one", "one", 1, Releases(4.0, 1)))
    with pytest.raises(BudgetError, match=r"there is a ledger already, with 1 updates"):
        make_ledger(site)
    elsewhere = PrivacyBudget(8.0, 0.01, site.folder / "not mounted" / "privacy.json")
    with pytest.raises(DeploymentError, match=r"there is no folder .*not mounted: mount its disk"):
        make_ledger(Site(**{**vars(site), "budget": elsewhere}))
    assert not elsewhere.ledger.parent.exists()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("privacy-epsilon = 8\n", "no privacy-delta; allowed: a number above 0 and below 1"),
        ("privacy-delta = 0.01\n", "no privacy-epsilon; allowed: a number above 0"),
        ("privacy-ledger = 'x'\n", "no privacy-epsilon"),
        ("privacy-epsilon = 0\nprivacy-delta = 0.01\n", "privacy-epsilon = 0; allowed: a number above 0"),
        ("privacy-epsilon = nan\nprivacy-delta = 0.01\n", "privacy-epsilon = nan; allowed"),
        ("privacy-epsilon = true\nprivacy-delta = 0.01\n", "privacy-epsilon = True; allowed"),
        ("privacy-epsilon = 8\nprivacy-delta = 1\n", "privacy-delta = 1; allowed"),
        (f"{LINES}privacy-ledger = ''\n", "privacy-ledger = ''; allowed: a text"),
        (
            f"{LINES}privacy-budget = 8\n",
            "privacy-budget = 8; allowed: privacy-epsilon, privacy-delta, privacy-ledger",
        ),
    ],
)
def test_a_budget_that_is_not_whole_is_refused(with_budget, lines, message):
    with pytest.raises(DeploymentError, match=message):
        with_budget(lines)


def test_the_check_says_what_is_spent_and_finds_a_damaged_ledger_and_a_large_delta(with_budget):
    site = with_budget(LINES)
    for study, round in (("one", 1), ("one", 2), ("two", 1)):
        site.budget.reserve(Update(study, study, round, Releases(4.0, 1)))
    findings = inspect_site(site)
    assert not [each for each in findings if each.fault]
    said = [each.text for each in findings if "budget" in each.text]
    assert said == [
        f"privacy budget: epsilon {site.budget.spent():.3g} of 8 at delta 0.01 is spent, in 3 updates of 2 studies "
        f"({site.folder / LEDGER})"
    ]
    large = Site(**{**vars(site), "budget": PrivacyBudget(8.0, 0.5, site.budget.ledger)})
    assert [each.text for each in inspect_site(large) if each.fault and "by chance" in each.text]
    site.budget.ledger.write_text("")
    assert [each.text for each in inspect_site(site) if each.fault and "put back a copy" in each.text]


def test_the_check_finds_a_ledger_that_cannot_be_written_and_says_what_a_service_needs(
    with_budget, monkeypatch
):
    site = with_budget(LINES)
    before = sorted(path.name for path in site.budget.ledger.parent.iterdir())
    assert not [each for each in inspect_site(site) if each.fault]
    assert sorted(path.name for path in site.budget.ledger.parent.iterdir()) == before

    def read_only(**_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    (fault,) = [each for each in inspect_site(site) if each.fault]
    folder = site.budget.ledger.parent
    assert f"Read-only file system: the node's user has to write in {folder}" in fault.text
    assert f"ReadWritePaths={folder} in its unit" in fault.text
    monkeypatch.undo()
    lock = site.budget.ledger.with_suffix(".lock")
    lock.unlink()
    lock.mkdir()
    assert [each.text for each in inspect_site(site) if each.fault and "cannot be counted there" in each.text]


def test_the_units_may_write_the_ledger_that_the_instructions_let_federations_share(deployed):
    folder = deployed.sites[0].folder
    (unit,) = folder.glob("*.service")
    text = (folder / "INSTRUCTIONS.md").read_text()
    assert "`/var/lib/fedrobust/privacy.json`" in text
    assert "\nStateDirectory=fedrobust\n" in unit.read_text()
    assert "privacy-ledger" in unit.read_text()
    assert "-v FOLDER:FOLDER:z" in (folder / "Containerfile").read_text()
    assert "privacy-ledger" not in (deployed.server.folder / "fedrobust-server.service").read_text()


def test_a_dry_run_counts_in_a_copy_of_the_ledger(with_budget, deployment, tmp_path, monkeypatch):
    said, started = [], []
    assert dry_run._ledger_copy(deployment.sites[1], tmp_path, said.append) == ()
    site = with_budget(LINES)
    site.budget.reserve(Update("one", "one", 1, Releases(4.0, 1)))
    before = site.budget.ledger.read_bytes()
    for _ in range(2):
        option, copy = dry_run._ledger_copy(site, tmp_path, said.append)
        monkeypatch.setattr(starting, "start_node", started.append)
        done = CliRunner().invoke(deploy, ["node", str(site.folder), option, copy])
        assert done.exit_code == 0, done.output
        counted = started[-1].budget
        assert (counted, counted.ledger) == (site.budget, tmp_path / "bern-ledger.json")
        assert len(counted.updates()) == 1
        counted.reserve(Update("trial", "trial", 1, Releases(4.0, 1)))
    assert site.budget.ledger.read_bytes() == before
    assert said == ["bern: counts in a copy of its ledger, with 1 updates; the trial spends nothing"] * 2
    assert counted.ledger.stat().st_mode & 0o777 == 0o600
    site.budget.ledger.unlink()
    dry_run._ledger_copy(site, tmp_path, said.append)
    assert said[-1] == f"bern: {site.folder / LEDGER} is not here; an empty ledger stands in"
    with pytest.raises(DeploymentError, match=r"site\.toml sets no privacy budget"):
        deployment.sites[1].counting_in("x.json")


def test_the_node_is_started_with_the_budget_and_tells_its_app(with_budget, monkeypatch):
    site, started = with_budget("privacy-epsilon = 8\nprivacy-delta = 1e-5\n"), []
    monkeypatch.setattr(starting, "knock", lambda *_: None)
    monkeypatch.setattr(os, "execv", lambda _, command: started.append(command))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    starting.start_node(site)
    given = started[0][started[0].index("--partition") :]
    assert given[-6:] == [
        *("--privacy-epsilon", "8.0", "--privacy-delta", "1e-05"),
        *("--privacy-ledger", str(site.folder / LEDGER)),
    ]
    options = argparse.Namespace(
        partition=0,
        data=site.images,
        takes="28 x 28 x 1, 2 classes",
        own_modules=[],
        privacy_epsilon=8.0,
        privacy_delta=1e-5,
        privacy_ledger=site.budget.ledger,
    )
    from flwr.common.config import parse_config_args

    assert parse_config_args([supernode.node_config(options)]) == {
        "partition-id": 0,
        "data-path": str(site.images),
        "takes": "28 x 28 x 1, 2 classes",
        "privacy-epsilon": 8.0,
        "privacy-delta": 1e-5,
        "privacy-ledger": str(site.budget.ledger),
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"privacy_delta": None},
        {"privacy_ledger": None},
        {"privacy_epsilon": -1.0},
        {"privacy_delta": 2.0},
        {"privacy_ledger": Path("it's.json")},
    ],
    ids=str,
)
def test_a_node_with_half_a_budget_does_not_start(deployment, changes):
    site = deployment.sites[0]
    given = {"privacy_epsilon": 8.0, "privacy_delta": 0.01, "privacy_ledger": Path("ledger.json"), **changes}
    held = {"root_certificates": site.authority, "key": site.key, "data": site.images}
    options = argparse.Namespace(**held, takes=None, own_modules=[], partition=0, **given)
    with pytest.raises(supernode.NodeError, match=r"give all three"):
        supernode.check(options)
