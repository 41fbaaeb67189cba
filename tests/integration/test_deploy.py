"""From three hospitals' PNGs to a deployment over TLS, by the lines of docs and of `deploy init`'s instructions.

What needs a host of its own is stood in for: `sudo` and `scp` say what they are asked. Ports and the folders of scans
are those of the test.
"""

import json
import re
import subprocess
import sys
from contextlib import ExitStack

import pytest
from deployed import study_lines
from federation import PROJECT, environment, free_ports, process, wait_for
from test_own_data import HOSPITALS, edited, scans  # noqa: F401

pytestmark = pytest.mark.slow

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
STAND_INS = 'sudo() { echo "sudo $*"; }; scp() { echo "scp $*"; }; set -e\n'


QUICK = " ".join(f"--set {key}.enabled=false" for key in ("audit", "distillation", "export"))


def page_lines(page):
    """Return the lines of a page's shell commands."""
    return [line for block in BLOCK.findall(page.read_text()) for line in block.splitlines()]


class Parties:
    """The server and the sites on one machine, who run the lines of their instructions.

    Args:
        folder: of everything.
    """

    def __init__(self, folder):
        self.folder = folder
        self.hospitals = folder / "hospitals"
        self.port, self.control = free_ports(2)
        self.said = {}

    def run(self, line, folder, code=0):
        done = subprocess.run(
            ["bash", "-c", STAND_INS + line],
            cwd=folder,
            env=self.environment("home"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        assert done.returncode == code, f"{line}\n{done.stdout}{done.stderr}"
        self.said[line] = done.stdout + done.stderr
        return self.said[line]

    def environment(self, name):
        return {"PYTHONPATH": str(PROJECT), **environment(self.folder / name)}

    def lines(self, name):
        return page_lines(self.hospitals / name / "INSTRUCTIONS.md")


@pytest.fixture(scope="module")
def parties(scans, tmp_path_factory):  # noqa: F811
    """Everything that the instructions say, done: the server's up to its start, the sites', the server's run."""
    parties = Parties(tmp_path_factory.mktemp("deployed"))
    run, folder = parties.run, parties.folder
    (folder / "scans").symlink_to(scans)
    for line in page_lines(PROJECT / "docs" / "deployment.md"):
        if "deploy init" in line:
            line += f" --port {parties.port} --control-port {parties.control} {QUICK}"
        run(line, folder)
        if line == "fedrobust init mine.toml":
            edited(folder / "mine.toml", *study_lines(HOSPITALS))
    server = parties.lines("server")
    begin = server.index("fedrobust deploy status .")
    with ExitStack() as stack:

        def start(line, name, ready):
            log = folder / f"{name}.log"
            home, place = folder / f"home-{name}", parties.hospitals / name
            command = ["bash", "-c", f"cd {place} && PYTHONPATH={PROJECT} exec {line}"]
            stack.enter_context(process(log, command, home))
            wait_for(lambda: ready in log.read_text(), name, log)

        for line in server[:begin]:
            if line == "fedrobust deploy serve .":
                start(line, "server", "are admitted")
            else:
                run(line, parties.hospitals / "server")
        for name in HOSPITALS:
            for path in folder.glob(f"{name}.*"):
                path.unlink()  # the hospital imports its images itself
            for line in parties.lines(name):
                if line == "fedrobust deploy node .":
                    start(line, name, "SuperNode ID")
                elif line != "fedrobust deploy renew .":
                    run(line.replace("/data/scans", f"{scans}/{name}"), parties.hospitals / name)
        for line in server[begin:]:
            run(line, parties.hospitals / "server")
        yield parties


def test_the_simulated_study_has_a_report(parties):
    assert (parties.folder / "simulated" / "report.html").is_file()


def test_the_instructions_run_the_study_at_all_sites(parties):
    assert "genf: online" in parties.said["fedrobust deploy status ."]
    (run,) = [
        path
        for path in (parties.hospitals / "server" / "runs").iterdir()
        if len(json.loads((path / "result.json").read_text())["rounds"]) == 2
    ]
    result = json.loads((run / "result.json").read_text())
    assert result["status"] == "finished"
    assert [entry["clients"]["trained"] for entry in result["rounds"]] == [3, 3]
    assert [site["name"] for site in result["sites"]] == list(HOSPITALS)
    assert "Deployed: 3 of 3 sites took part" in (run / "report.html").read_text()
    assert "round 2/2" in parties.said["fedrobust deploy run ."]


def test_the_dry_run_ran_one_round_and_stopped_everything(parties):
    said = parties.said["fedrobust deploy dry-run .. --rounds 1"]
    assert "round 1/1  3/3 clients" in said
    assert "everything is stopped again" in said


def test_a_node_with_an_unknown_key_is_refused(parties):
    folder = parties.folder / "stranger"
    parties.run(f"cp -r {parties.hospitals / 'bern'} {folder}", parties.folder)
    parties.run("fedrobust deploy renew .", folder)
    assert "does not admit this site's key" in parties.run("fedrobust deploy node .", folder, code=1)
    # Flower's SuperNode by itself, without the question before.
    log = parties.folder / "stranger.log"
    command = [
        *(sys.executable, "-m", "fedrobust.deployment.supernode", "--superlink", f"localhost:{parties.port}"),
        *("--root-certificates", str(folder / "keys/ca.crt"), "--key", str(folder / "keys/node")),
        *("--partition", "0", "--data", str(parties.folder / "bern.npz")),
    ]
    with process(log, command, parties.folder / "home-stranger") as node:
        wait_for(lambda: node.poll() is not None, "the stranger's end", log)
    assert node.returncode != 0
    assert "SuperNode ID" not in log.read_text()
    assert "not signed by an admitted node" in (parties.folder / "server.log").read_text()


def test_a_site_that_makes_a_new_key_is_admitted_when_the_server_has_it(parties):
    """The last line of a site's instructions: until the server has the new key, it refuses the site."""
    said = parties.run("fedrobust deploy renew .", parties.hospitals / "bern")
    assert "server/keys/nodes/bern-0.pub" in said
    checked = parties.run("fedrobust deploy check ..", parties.hospitals / "server", code=2)
    assert "not this site's public key" in " ".join(checked.split())
    public = parties.hospitals / "bern" / "keys" / "node.pub"
    (parties.hospitals / "server/keys/nodes/bern-0.pub").write_bytes(public.read_bytes())
    parties.run("fedrobust deploy check ..", parties.hospitals / "server")
