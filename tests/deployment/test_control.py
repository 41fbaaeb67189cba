"""Steering a server: what is sent as an app, waiting for sites, and parties that end."""

import io
import os
import signal
import sys
import time
import tomllib
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
from deployed import study

from fedrobust.config import Experiment
from fedrobust.deployment import control, dry_run
from fedrobust.deployment.bundle import check_app
from fedrobust.deployment.control import RunFailedError, SiteStatus, bundle, wait_for_sites
from fedrobust.deployment.dry_run import study_of
from fedrobust.deployment.folder_file import DeploymentError
from fedrobust.deployment.folders import Deployment
from fedrobust.deployment.processes import free_ports, running


def test_what_is_sent_is_the_installed_app_with_the_settings_of_the_study(data):
    experiment = study(data, data__clients=[], data__partition="iid")
    content = bundle(experiment)
    check_app(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        settings = tomllib.loads(archive.read("pyproject.toml").decode())["tool"]["flwr"]["app"]["config"]
    assert Experiment.from_run_config(settings) == experiment


def test_a_servers_runs_are_written_below_its_folder(deployed):
    experiment = study_of(deployed.server, ["federation.rounds=7"])
    assert experiment.output.root == str(deployed.server.folder / "runs")
    assert (experiment.federation.rounds, experiment.federation.clients) == (7, 3)
    assert experiment.output.dir == ""


def test_the_folder_of_a_resumed_run_is_found_from_the_place_of_the_command(deployed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = study_of(deployed.server, ["output.resume=true", "output.dir=runs/x"])
    assert (experiment.output.resume, experiment.output.dir) == (True, str(tmp_path / "runs" / "x"))


def test_in_a_dry_run_the_servers_images_stand_in_for_those_that_are_not_here(deployed, data):
    said, experiment = [], study_of(deployed.server)
    site = deployed.sites[0]
    assert dry_run._images_here(site, experiment, said.append) == data / "bern.npz"
    assert said == []
    elsewhere = replace(site, data="/there/bern.npz")
    assert dry_run._images_here(elsewhere, experiment, said.append) == data / "server.npz"
    assert said == ["bern: /there/bern.npz is not here; the server's images stand in"]
    phantom = study(data, data__clients=[], data__partition="iid")
    with pytest.raises(DeploymentError, match=r"\(phantom\) are no \.npz file"):
        dry_run._images_here(elsewhere, phantom, said.append)


class Sites:
    """A server whose sites come online one after the other, one more at every look."""

    def __init__(self, names, most):
        self.names, self.most, self.looks = names, most, 0

    def sites(self):
        self.looks += 1
        online = min(self.looks - 1, self.most)
        return [SiteStatus(name, place < online, "") for place, name in enumerate(self.names)]


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(control, "POLL", 0.0)


def test_a_run_waits_for_its_sites_and_says_for_whom():
    said = []
    found = wait_for_sites(Sites(["bern", "chur"], 2), 2, 60, said.append)
    assert [site.online for site in found] == [True, True]
    assert said == [
        "0 of 2 sites are online; waiting for bern, chur",
        "1 of 2 sites are online; waiting for chur",
    ]


def test_sites_that_do_not_come_are_named_with_where_to_look():
    with pytest.raises(
        RunFailedError, match=r"1 of 2 sites are online, 2 are needed; missing: chur\. .*cannot take"
    ):
        wait_for_sites(Sites(["bern", "chur"], 1), 2, 0.05, lambda _: None)
    assert len(wait_for_sites(Sites(["bern", "chur"], 1), 1, 60, lambda _: None)) == 2


def test_a_server_that_does_not_answer_is_a_sentence(deployed):
    (port,) = free_ports(1)
    server = SimpleNamespace(keys=deployed.server.keys, control_port=port, sites=("bern",))
    with (
        control.control(server) as steering,
        pytest.raises(DeploymentError, match="start it with fedrobust deploy"),
    ):
        steering.sites()


def test_a_party_that_ends_stops_the_dry_run_with_its_last_words(tmp_path):
    (tmp_path / "bern.log").write_text("checking\nerror: x.npz: \x1b[31mno such file\n")
    ended = SimpleNamespace(poll=lambda: 2)
    with pytest.raises(RunFailedError, match=r"bern has ended: x\.npz: \?\[31mno such file"):
        dry_run._check_alive({"bern": ended}, tmp_path)
    dry_run._check_alive({"bern": SimpleNamespace(poll=lambda: None)}, tmp_path)


def test_a_dry_run_without_a_folder_or_with_a_fault_starts_nothing(deployment, monkeypatch):
    monkeypatch.setattr(dry_run, "running", lambda *_: pytest.fail("something was started"))
    deployment.sites[0].key.chmod(0o644)
    with pytest.raises(DeploymentError, match=r"bern: .*chmod 600"):
        dry_run.dry_run(deployment, lambda _: None)
    (deployment.folder / "chur" / "site.toml").unlink()
    with pytest.raises(DeploymentError, match="no folder of chur"):
        dry_run.dry_run(Deployment.read(deployment.folder), lambda _: None)


def test_a_process_and_what_it_started_end_with_the_block(tmp_path):
    script = (
        "import signal, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid, flush=True)\n"
        "signal.pause()\n"
    )
    log = tmp_path / "log"
    with running([sys.executable, "-c", script], log, tmp_path, dict(os.environ)) as process:
        while not log.read_text().endswith("\n"):
            assert process.poll() is None
    assert process.returncode == -signal.SIGTERM
    child = int(log.read_text())
    assert ends(child)


def ends(process, seconds=20):
    """Return whether a process ends, or has ended and is only not collected."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if psutil.Process(process).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
    return False
