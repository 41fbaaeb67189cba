"""Try a deployment on one machine: the server and all sites from their own folders, over TLS on loopback."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from fedrobust.complaints import printable
from fedrobust.config import Experiment
from fedrobust.deployment.control import Control, RunFailedError, control, wait_for_sites
from fedrobust.deployment.deployable import check_deployable
from fedrobust.deployment.folder_file import DeploymentError
from fedrobust.deployment.folders import Deployment, Server
from fedrobust.deployment.inspection import inspect
from fedrobust.deployment.processes import LOCAL, free_ports, running
from fedrobust.deployment.site import Site
from fedrobust.deployment.starting import QUIET
from fedrobust.paths import expanded

START = 120.0
"""Most seconds in which the server starts, and in which the sites connect."""


def study_of(server: Server, overrides: Iterable[str] = ()) -> Experiment:
    """Return the study of a server, whose runs are written below its folder.

    Raises:
        ConfigError: it cannot be read.
        DeploymentError: with these overrides it is for simulations alone.
    """
    experiment = Experiment.load(server.study, overrides)
    check_deployable(experiment)
    folder = experiment.output.dir
    # The server's process has another working folder than this one.
    return experiment.changed(
        output__root=str(server.folder / "runs"), output__dir=str(expanded(folder)) if folder else ""
    )


def dry_run(
    deployment: Deployment, say: Callable[[str], None], overrides: Iterable[str] = ()
) -> dict[str, Path]:
    """Run the study of a deployment on this machine, with its own keys, settings and images, and stop everything.

    Only addresses differ: free ports of 127.0.0.1; and a site's images that are not here are replaced by the server's.
    The logs are written to ``dry-run/`` in the folder, and the ledgers of privacy budgets are copied there: a trial
    spends nothing, and shows whether the budgets last.

    Args:
        deployment: its folders; those of all sites are here.
        say: is told what happens.
        overrides: ``key=value`` of the study.

    Returns:
        The logs, by party.

    Raises:
        DeploymentError: something of the deployment is wrong, or a party's folder is not here.
        RunFailedError: a party or the run failed; the message says why.
    """
    if deployment.absent:
        raise DeploymentError(
            f"{deployment.folder}: no folder of {', '.join(deployment.absent)}: a dry run needs all of them"
        )
    faults = [f"{each.where}: {each.text}" for each in inspect(deployment.folder) if each.fault]
    if faults:
        raise DeploymentError("\n".join(faults))
    experiment = study_of(deployment.server, overrides)
    experiment = experiment.changed(name=f"{experiment.name}-dry-run")
    images = {site.name: _images_here(site, experiment, say) for site in deployment.sites}
    logs = deployment.folder / "dry-run"
    logs.mkdir(exist_ok=True)
    ledgers = {site.name: _ledger_copy(site, logs, say) for site in deployment.sites}
    with ExitStack() as stack:
        port, control_port = free_ports(2)
        server = replace(deployment.server, port=port, control_port=control_port)
        started: dict[str, subprocess.Popen[bytes]] = {}

        def start(name: str, *command: str) -> None:
            log, folder = logs / f"{name}.log", deployment.folder / name
            line = [sys.executable, "-m", "fedrobust", "deploy", *command]
            started[name] = stack.enter_context(running(line, log, folder, _environment(logs / f".{name}")))

        ports = ("--port", str(port), "--control-port", str(control_port))
        start("server", "serve", ".", "--listen", LOCAL, *ports)
        steering = stack.enter_context(control(server))
        _wait_for_server(steering, started, logs)
        for site in deployment.sites:
            own = ("--data", str(images[site.name]), *ledgers[site.name])
            start(site.name, "node", ".", "--server", f"{LOCAL}:{port}", *own)
        say(f"the server and {len(deployment.sites)} sites are started; their logs are in {logs}")
        wait_for_sites(steering, len(deployment.sites), START, say, lambda: _check_alive(started, logs))
        say("all sites are online, admitted by their keys")
        steering.follow(steering.start(experiment), say)
    return {name: logs / f"{name}.log" for name in started}


def _images_here(site: Site, experiment: Experiment, say: Callable[[str], None]) -> Path:
    """Return a site's images, or the server's file in place of images that are at the site only.

    Raises:
        DeploymentError: neither is a file on this machine.
    """
    if site.images.is_file():
        return site.images
    own = (Path(experiment.base) / experiment.data.name).expanduser()
    if not own.is_file():
        raise DeploymentError(
            f"{site.images}: not here, and the server's images ({experiment.data.name}) are no .npz file that could "
            f"stand in: put a file of the study's size and classes there, or a path in {site.name}/site.toml"
        )
    say(f"{site.name}: {site.images} is not here; the server's images stand in")
    return own


def _ledger_copy(site: Site, logs: Path, say: Callable[[str], None]) -> tuple[str, ...]:
    """Return the options of a site's node that let it count in a copy of its ledger; none without a privacy budget.

    Raises:
        BudgetError: the ledger cannot be read.
    """
    if site.budget is None:
        return ()
    trial = replace(site.budget, ledger=(logs / f"{site.name}-ledger.json").resolve())
    trial.ledger.unlink(missing_ok=True)
    trial.create()
    if site.budget.ledger.is_file():
        spent = len(site.budget.updates())
        trial.ledger.write_bytes(site.budget.ledger.read_bytes())
        say(f"{site.name}: counts in a copy of its ledger, with {spent} updates; the trial spends nothing")
    else:
        say(f"{site.name}: {site.budget.ledger} is not here; an empty ledger stands in")
    return "--ledger", str(trial.ledger)


def _environment(home: Path) -> Mapping[str, str]:
    """Return the environment of a party, with a home of Flower's files of its own, as on a host of its own."""
    home.mkdir(exist_ok=True)
    return {**os.environ, **QUIET, "FLWR_HOME": str(home), "PYTHONUNBUFFERED": "1"}


def _wait_for_server(steering: Control, started: "dict[str, subprocess.Popen[bytes]]", logs: Path) -> None:
    deadline = time.monotonic() + START
    while True:
        try:
            steering.sites()
        except DeploymentError:
            _check_alive(started, logs)
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


def _check_alive(started: "dict[str, subprocess.Popen[bytes]]", logs: Path) -> None:
    """Raise a RunFailedError if a party has ended, with the last line that it wrote."""
    for name, process in started.items():
        if process.poll() is not None:
            lines = (logs / f"{name}.log").read_text(errors="replace").strip().splitlines()
            said = printable(lines[-1].removeprefix("error: ")) if lines else "it wrote nothing"
            raise RunFailedError(f"{name} has ended: {said}")
