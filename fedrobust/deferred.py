"""Import TensorFlow without what a run does not use: parts of its API, and Keras, are executed when first used.

``import tensorflow`` executes every module of its API, the two compatible ones with all of theirs, and Keras. Of 5 s of
processor time less than half goes into what a run needs (`experiments/benchmarks/startup.py`).
"""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any

Block = Callable[[], AbstractContextManager[None]]

LOADER = "_fedrobust_loader"
"""The name below which a module that was not yet executed keeps its loader."""

_executing = threading.RLock()
"""One for all modules: two that need each other would wait for each other's."""


class DeferredModule(ModuleType):
    """A module whose code runs when a name is asked for that it has not got.

    Unlike those of `importlib.util.LazyLoader` in Python 3.11, threads that ask at once wait for one of them.
    """

    def __getattr__(self, name: str) -> Any:
        if LOADER in self.__dict__:
            loader: _Deferring = self.__dict__[LOADER]
            # The block first: whoever executes a module is within it, so that nobody waits for both in another order.
            with loader.within(), _executing:
                if self.__dict__.pop(LOADER, None):
                    loader.loader.exec_module(self)
        with _executing:  # another thread may be executing it
            pass
        try:
            return self.__dict__[name]
        except KeyError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}") from None

    def __dir__(self) -> list[str]:
        if LOADER in self.__dict__:
            getattr(self, "__all__", None)
        return list(super().__dir__())


class _Deferring(Loader):
    """Makes a `DeferredModule` of what `loader` would execute."""

    def __init__(self, loader: Loader, within: Block):
        self.loader = loader
        self.within = within

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return DeferredModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.loader
        module.__dict__[LOADER] = self


class _WithinBlock(Loader):
    """Executes a module within a block."""

    def __init__(self, loader: Loader, block: Block):
        self.loader = loader
        self.block = block

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with self.block():
            self.loader.exec_module(module)


class _BlockFinder(MetaPathFinder):
    """Finds one module as one that is executed within a block."""

    def __init__(self, name: str, block: Block):
        self.name = name
        self.block = block

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name == self.name else None
        if spec is not None and spec.loader is not None:
            spec.loader = _WithinBlock(spec.loader, self.block)
        return spec


def execute_within(name: str, block: Block) -> None:
    """Have the module `name`, whenever it is imported, executed within `block`."""
    sys.meta_path.insert(0, _BlockFinder(name, block))


class _Finder(MetaPathFinder):
    """Finds the modules directly below `package` as deferred ones."""

    def __init__(self, package: str, but: Sequence[str], within: Block):
        self.package = package
        self.within = within
        self.but = {f"{package}.{name}" for name in but}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.rpartition(".")[0] != self.package or name in self.but:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Deferring(spec.loader, self.within)
        return spec


@contextmanager
def deferred(package: str, but: Sequence[str] = (), within: Block = nullcontext) -> Iterator[None]:
    """Have modules directly below `package` that are imported within the block executed when they are first used.

    Args:
        package: dotted name.
        but: names of modules below it that are executed at once.
        within: block in which each of the others is executed.

    Example:
        >>> with deferred("wsgiref"):
        ...     import wsgiref.util
        >>> wsgiref.util.request_uri.__name__
        'request_uri'
    """
    finder = _Finder(package, but, within)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@contextmanager
def keras_left_out() -> Iterator[None]:
    """Have TensorFlow find Keras within the block, for its search path, without executing it.

    TensorFlow imports Keras' optimisers for whoever opens a SavedModel that holds some, and goes on where it cannot.
    A later import of Keras is a usual one.
    """
    spec = None if "keras" in sys.modules else find_spec("keras")
    if spec is None or not spec.submodule_search_locations:
        yield
        return
    folder = spec.submodule_search_locations[0]
    hidden: dict[str, ModuleType | None] = {
        "keras": _empty_package("keras", folder),
        "keras._tf_keras": _empty_package("keras._tf_keras", f"{folder}/_tf_keras"),
        "keras.src": None,
    }
    sys.modules.update(hidden)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


def _empty_package(name: str, folder: str) -> ModuleType:
    package = ModuleType(name)
    package.__spec__ = ModuleSpec(name, None, is_package=True)
    package.__path__ = package.__spec__.submodule_search_locations = [folder]
    return package
