"""Import this project's Flower apps, also if other modules are named `server` or `clients`.

Flower names an app by its module, so that the coordinator's and the hospitals' code live in packages `server` and
`clients`. In a checkout these are top-level folders. Installed, they lie in `fedrobust/_apps`, where no import finds
them, so that nothing of a user's that is called `server` or `clients` is hidden; `load_app` imports them from there.
"""

import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from fedrobust.registry import import_dotted

PACKAGES = ("server", "clients")
INSTALLED = Path(__file__).resolve().with_name("_apps")
HOME = INSTALLED if INSTALLED.is_dir() else INSTALLED.parents[1]
"""Folder of `server` and `clients`."""

_lock = threading.RLock()
_ours: dict[str, ModuleType] = {}


def load_app(path: str) -> Any:
    """Return the Flower app at a dotted path such as ``"server.app:app"``.

    What begins with ``server`` or ``clients`` is this project's. The user's own modules of these names stay what they
    are.

    Raises:
        UnknownNameError: there is no such module or name.
    """
    top = path.partition(":")[0].partition(".")[0]
    if top not in PACKAGES or not _is_ours_by_location(top):
        return import_dotted(path)
    with _lock, _own_packages():
        return import_dotted(path)


def _is_ours_by_location(top: str) -> bool:
    return (HOME / top / "__init__.py").is_file()


@contextmanager
def _own_packages() -> Iterator[None]:
    """Make `server` and `clients` this project's within the block, and restore the user's after it.

    Within them everything is imported when the first module is, so that nothing of theirs is looked up later.
    """
    # A copy in one step: other threads may be importing.
    foreign = {
        name: module for name, module in sys.modules.copy().items() if _top(name) and not _is_ours(module)
    }
    for name in foreign:
        del sys.modules[name]
    hidden = bool(foreign) or any(_shadowed(top) for top in PACKAGES)
    if hidden:
        sys.modules.update({name: module for name, module in _ours.items() if name not in sys.modules})
        for top in PACKAGES:
            if top not in sys.modules:
                _load_package(top)
    try:
        yield
    finally:
        if hidden:
            _ours.update({name: module for name, module in sys.modules.copy().items() if _top(name)})
            for name in _ours:
                sys.modules.pop(name, None)
            sys.modules.update(foreign)


def _load_package(top: str) -> None:
    folder = HOME / top
    spec = spec_from_file_location(top, folder / "__init__.py", submodule_search_locations=[str(folder)])
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[top] = module
    spec.loader.exec_module(module)


def _top(name: str) -> bool:
    return name.partition(".")[0] in PACKAGES


def _is_ours(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve().is_relative_to(HOME / module.__name__.partition(".")[0])


def _shadowed(top: str) -> bool:
    """Return whether a plain import of `top` would find another package than this project's."""
    if top in sys.modules:
        return False
    importlib.invalidate_caches()
    spec = PathFinder.find_spec(top)
    return spec is None or spec.origin is None or Path(spec.origin).resolve().parent != HOME / top
