"""What tests of a real federation share: free ports, processes that are ended by their id, the README's own lines."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flwr.cli.build import build_fab_from_disk

PROJECT = Path(__file__).parents[2]
DEPLOYMENT = PROJECT / "experiments" / "deployment"
FENCE = re.compile(r"^ *```(sh|toml)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def readme_blocks() -> list[tuple[str, str]]:
    """Return the README's code blocks in order: language and text."""
    text = (DEPLOYMENT / "README.md").read_text()
    return [
        (language, re.sub(r"^ {3}", "", body, flags=re.MULTILINE)) for language, body in FENCE.findall(text)
    ]


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    found = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return found


def environment(home: Path) -> dict[str, str]:
    """Return what a party of a federation runs with: a home of its own, and no word to anybody outside."""
    home.mkdir(parents=True, exist_ok=True)
    programs = str(Path(sys.executable).parent)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("FLWR_")},
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def process(log: Path, command: list[str], home: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program, its output in `log`, for as long as the block runs."""
    with log.open("wb") as output:
        started = subprocess.Popen(
            command,
            cwd=PROJECT,
            env=environment(home),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield started
    finally:
        started.terminate()
        with suppress(subprocess.TimeoutExpired):
            started.wait(timeout=20)
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def wait_for(ready, what: str, log: Path, seconds: float = 90) -> None:
    """Wait until `ready()`; what is in `log` tells why it did not come to that."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"{what}: not ready\n{log.read_text()}"
        time.sleep(0.1)


def foreign_app(folder: Path, marker: Path) -> bytes:
    """Return the bundle of an app that leaves `marker` wherever it is imported."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "stranger"\nversion = "1.0.0"\ndependencies = []\n[tool.flwr.app]\npublisher = "nobody"\n'
        '[tool.flwr.app.components]\nserverapp = "stranger:server"\nclientapp = "stranger:client"\n'
        "[tool.flwr.app.config]\nseed = 0\n"
    )
    (folder / "stranger.py").write_text(
        "import json, os, pathlib\n"
        "from flwr.app import Message, RecordDict\n"
        "from flwr.clientapp import ClientApp\n"
        "from flwr.serverapp import ServerApp\n"
        "server = ServerApp()\n"
        "client = ClientApp()\n"
        "@server.main()\n"
        "def main(grid, context):\n"
        f"    pathlib.Path({str(marker)!r}).write_text('server')\n"
        "    messages = [Message(RecordDict(), node, 'query') for node in grid.get_node_ids()]\n"
        "    replies = list(grid.send_and_receive(messages, timeout=60))\n"
        "    said = [reply.error.reason if reply.has_error() else 'ran' for reply in replies]\n"
        f"    pathlib.Path({str(marker) + '.json'!r}).write_text(json.dumps(said))\n"
        "@client.query()\n"
        "def query(message, context):\n"
        f"    pathlib.Path({str(marker) + '.node'!r}).write_text('node')\n"
        "    return Message(RecordDict(), reply_to=message)\n"
    )
    return build_fab_from_disk(folder)
