"""Flower's SuperExec, which starts the apps of a SuperLink or SuperNode, restricted to one kind of `app`.

Started by `superlink` and `supernode`, which send it their secret on standard input, not by hand.
"""

import argparse
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from flwr.supercore.constant import TaskType
from flwr.supercore.superexec.executor import ExecutionSpec, LaunchResult
from flwr.supercore.superexec.executor.subprocess_executor import SubprocessExecutor

from fedrobust.deployment.app import APPS, replace

PYTHON = (sys.executable, "-P", "-m")
"""With -P, modules in the working folder are not imported in place of installed ones."""


class InstalledApps(SubprocessExecutor):
    """An executor of one kind of task that runs the installed app.

    Args:
        app: "clientapp" or "serverapp".
    """

    def __init__(self, app: str):
        self.app = app
        self.task = TaskType(f"flwr-{app}")

    def get_eligible_capacity(
        self,
        supported_task_types: set[TaskType],
        *,
        insecure: bool = False,
        root_certificates_path: str | None = None,
    ) -> tuple[set[TaskType], set[str]]:
        """Return the one kind of task that is accepted."""
        return supported_task_types & {self.task}, set()

    def launch(self, spec: ExecutionSpec) -> LaunchResult:
        """Start the process that runs a task."""
        if spec.task_type != self.task:
            return LaunchResult.failed(f"{spec.task_type}: this host runs {self.task} only")
        command = [
            *PYTHON,
            "fedrobust.deployment.app",
            self.app,
            "--runtime-api-address",
            spec.runtime_api_address,
        ]
        if spec.root_certificates_path is None:
            command.append("--insecure")
        else:
            command += ["--root-certificates", spec.root_certificates_path]
        if spec.parent_pid is not None:
            command += ["--parent-pid", str(spec.parent_pid)]
        quiet = subprocess.DEVNULL if spec.suppress_output else None
        started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, text=True)
        assert started.stdin is not None
        with started.stdin as token:
            token.write(f"{spec.token}\n")
        return LaunchResult.accepted()


@contextmanager
def executor(
    app: str, address: str, secret: bytes, certificates: Path | None, environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run an executor beside a SuperLink or SuperNode of this process for as long as the block runs.

    Args:
        app: "clientapp" or "serverapp".
        address: of Flower's Runtime API, HOST:PORT on loopback.
        secret: authenticates the executor to the Runtime API.
        certificates: the authority's certificate, if the Runtime API uses TLS.
        environment: additional environment variables.

    Yields:
        The process.
    """
    command = [*PYTHON, "fedrobust.deployment.executor", app, address, "--parent-pid", str(os.getpid())]
    if certificates is not None:
        command += ["--root-certificates", str(certificates)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, **environment})
    assert process.stdin is not None
    with process.stdin as pipe:
        pipe.write(secret)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def when_over(process: "subprocess.Popen[bytes]", then: Callable[[], None]) -> None:
    """Call `then`, in a thread, when a process has ended."""

    def watch() -> None:
        process.wait()
        then()

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Run tasks until the SuperLink or SuperNode ends."""
    parser = argparse.ArgumentParser(prog="python -m fedrobust.deployment.executor")
    parser.add_argument("app", choices=list(APPS))
    parser.add_argument("address")
    parser.add_argument("--root-certificates")
    parser.add_argument("--parent-pid", type=int, required=True)
    options = parser.parse_args()
    flower = import_module("flwr.supercore.superexec.run_superexec")
    replace(flower, "get_executor", lambda *_, **__: InstalledApps(options.app))
    flower.run_superexec(
        runtime_api_address=options.address,
        insecure=options.root_certificates is None,
        root_certificates_path=options.root_certificates,
        superexec_auth_secret=sys.stdin.buffer.read(),
        parent_pid=options.parent_pid,
        runtime_dependency_install=False,
    )


if __name__ == "__main__":
    main()
