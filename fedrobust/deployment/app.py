"""Run one task of a federation: Flower's process of an app, restricted to the installed app.

Started by `executor` with a task's token on standard input, not by hand.

On a node the sent bundle is neither unpacked nor imported: it is compared with the installed project, and the installed
`clients.app` is run. On the coordinator Flower reads the app's settings from the unpacked bundle, which is therefore
unpacked into a separate folder after the comparison.
"""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from fedrobust.apps import load_app
from fedrobust.data.site_error import SiteError
from fedrobust.deployment.bundle import COMPONENTS, check_app
from fedrobust.deployment.keys import ADMITTED
from fedrobust.errors import FedrobustError
from fedrobust.plain import plain_text
from fedrobust.temporary import temporary_folder

MOST_SAID = 2000
"""Most characters of an error in a log."""


def replace(module: ModuleType, name: str, function: Callable[..., Any]) -> None:
    """Replace one of Flower's functions by `function`.

    Raises:
        RuntimeError: this version of Flower has no such function; nothing is run then.
    """
    if not callable(getattr(module, name, None)):
        raise RuntimeError(
            f"{module.__name__} has no {name}: this Flower is not the one that fedrobust was made for"
        )
    setattr(module, name, function)


def in_sentences(log: Callable[..., None]) -> Callable[..., None]:
    """Return a logging function like `log` that writes this project's errors as their sentence, without a traceback.

    Of a `SiteError` the log, which stays here, has the cause.
    """

    def write(level: int, message: str, *arguments: Any, exc_info: Any = None, **options: Any) -> None:
        if isinstance(exc_info, SiteError) and exc_info.__cause__ is not None:
            exc_info = exc_info.__cause__
        if isinstance(exc_info, FedrobustError):
            log(level, "%s", plain_text(str(exc_info), MOST_SAID))
        else:
            log(level, message, *arguments, exc_info=exc_info, **options)

    return write


def check_only(bundle: bytes, *_: Any, **__: Any) -> None:
    """Check a sent app instead of installing it on a node."""
    check_app(bundle)


def installed_client(*_: Any, **__: Any) -> Callable[..., Any]:
    """Return the installed ClientApp's loader instead of Flower's search for one."""

    def load(*_: Any) -> Any:
        # TensorFlow starts with the first message, not with the node.
        return load_app(COMPONENTS["clientapp"])

    return load


def clientapp() -> None:
    """Process one message with the installed ClientApp."""
    flower = import_module("flwr.supernode.runtime.run_clientapp")
    replace(flower, "install_from_fab", check_only)
    replace(flower, "get_load_client_app_fn", installed_client)
    replace(flower, "log", in_sentences(flower.log))
    from flwr.supernode.cli import flwr_clientapp

    flwr_clientapp()


def serverapp() -> None:
    """Run one study with the installed ServerApp.

    Raises:
        RuntimeError: the variable with the list of admitted nodes is not set.
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
    replace(flower, "log", in_sentences(flower.log))
    from flwr.superlink.cli import flwr_serverapp

    # Flower would reuse an existing folder, found by 32 bits of the app's digest: the new folder is empty.
    with temporary_folder("fedrobust-app-") as home:
        os.environ["FLWR_HOME"] = str(home)
        flwr_serverapp()


APPS: dict[str, Callable[[], None]] = {"clientapp": clientapp, "serverapp": serverapp}


def main() -> None:
    """Run the task whose token is on standard input: ``clientapp`` or ``serverapp``, then Flower's own options."""
    name, *options = sys.argv[1:]
    # On the command line other users of this host could read it.
    sys.argv = [f"flwr-{name}", *options, "--token", sys.stdin.readline().strip()]
    APPS[name]()


if __name__ == "__main__":
    main()
