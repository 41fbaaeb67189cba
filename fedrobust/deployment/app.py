"""Run one task of a federation: Flower's own process of an app, which takes no app but the installed one.

Started by `executor` with a task's token on standard input, never by hand.

On a node nothing of what was sent is unpacked or imported: it is compared with the installed project, and the installed
`clients.app` is run. On the coordinator Flower reads the app's settings from the unpacked bundle, so it is unpacked,
once it was compared, into a folder of its own.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from fedrobust.apps import load_app
from fedrobust.deployment.bundle import COMPONENTS, check_app
from fedrobust.deployment.keys import ADMITTED


def replace(module: ModuleType, name: str, function: Callable[..., Any]) -> None:
    """Put `function` in the place of one of Flower's.

    Raises:
        RuntimeError: this Flower has none of that name; nothing may run then.
    """
    if not callable(getattr(module, name, None)):
        raise RuntimeError(
            f"{module.__name__} has no {name}: this Flower is not the one that fedrobust was made for"
        )
    setattr(module, name, function)


def check_only(bundle: bytes, *_: Any, **__: Any) -> None:
    """Stand in for Flower's installation of an app on a node."""
    check_app(bundle)


def installed_client(*_: Any, **__: Any) -> Callable[..., Any]:
    """Stand in for what finds a ClientApp among Flower's installed ones."""

    def load(*_: Any) -> Any:
        # TensorFlow starts with the first message, not with the node.
        return load_app(COMPONENTS["clientapp"])

    return load


def clientapp() -> None:
    """Answer one message with the installed ClientApp."""
    flower = import_module("flwr.supernode.runtime.run_clientapp")
    replace(flower, "install_from_fab", check_only)
    replace(flower, "get_load_client_app_fn", installed_client)
    from flwr.supernode.cli import flwr_clientapp

    flwr_clientapp()


def serverapp() -> None:
    """Run one study with the installed ServerApp.

    Raises:
        RuntimeError: nobody says which nodes are admitted.
    """
    if ADMITTED not in os.environ:
        raise RuntimeError(
            f"{ADMITTED} is not set: start the coordinator with python -m fedrobust.deployment.superlink"
        )
    flower = import_module("flwr.superlink.runtime.run_serverapp")
    install = flower.install_from_fab

    def check_first(bundle: bytes, *arguments: Any, **options: Any) -> Path:
        check_app(bundle)
        installed: Path = install(bundle, *arguments, **options)
        return installed

    replace(flower, "install_from_fab", check_first)
    from flwr.superlink.cli import flwr_serverapp

    # Flower takes a folder that exists already for the app, by 32 bits of its digest: here none exists.
    with tempfile.TemporaryDirectory(prefix="fedrobust-app-") as home:
        os.environ["FLWR_HOME"] = home
        flwr_serverapp()


APPS: dict[str, Callable[[], None]] = {"clientapp": clientapp, "serverapp": serverapp}


def main() -> None:
    """Run the task whose token comes on standard input: ``clientapp`` or ``serverapp``, then Flower's own options."""
    name, *options = sys.argv[1:]
    # On the command line every user of this host could read it.
    sys.argv = [f"flwr-{name}", *options, "--token", sys.stdin.readline().strip()]
    APPS[name]()


if __name__ == "__main__":
    main()
