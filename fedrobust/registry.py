"""Names that users type, mapped to the classes and functions behind them.

One `Registry` per family (rules, recipes, attacks, ...). Wherever a registered name is accepted, a dotted path
`my_package.my_module:MyThing` works as well.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import Any, TypeVar

from fedrobust.errors import FedrobustError, own_line
from fedrobust.own_modules import refusal

T = TypeVar("T")


class UnknownNameError(FedrobustError, LookupError):
    """A name is neither registered nor a dotted path that can be imported."""


@dataclass(frozen=True)
class Registry:
    """A family of named classes or functions.

    Args:
        family: what one member is called in messages, such as ``"aggregation rule"``.
        home: package whose modules hold the members. They are imported when the family is first asked for one: a new
            file in its folder is a new member.

    Example:
        >>> shapes = Registry("shape")
        >>> @shapes.register("square")
        ... class Square: ...
        >>> shapes["square"].__name__
        'Square'
        >>> shapes["circle"]
        Traceback (most recent call last):
        fedrobust.registry.UnknownNameError: 'circle' is no shape; choose one of: square; or give a dotted path \
"package.module:name"
    """

    family: str
    home: str = ""
    _filed: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    _unlisted: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def members(self) -> dict[str, Any]:
        """The members by name."""
        self._found  # noqa: B018
        return self._filed

    @cached_property
    def _found(self) -> bool:
        if self.home:
            import_modules(self.home)
        return True

    def register(self, name: str, listed: bool = True) -> Callable[[T], T]:
        """Return a decorator that registers a class or function under `name`.

        Args:
            name: what users type.
            listed: False: it is found by its name, but not among the members: one that another member names, where a
                dotted path might be refused (`fedrobust.own_modules`).
        """

        def file(member: T) -> T:
            if name in self._filed or name in self._unlisted:
                raise ValueError(f"{self.family} {name!r} is registered twice")
            (self._filed if listed else self._unlisted)[name] = member
            return member

        return file

    def __getitem__(self, name: str) -> Any:
        if (known := self.known(name)) is not None:
            return self.members[known]
        if name in self._unlisted:
            return self._unlisted[name]
        if ":" in name:
            return import_dotted(name)
        raise UnknownNameError(
            f"{name[:80]!r} is no {self.family}{did_you_mean(name, self.members)}; choose one of: "
            f'{", ".join(sorted(self.members))}; or give a dotted path "package.module:name"'
        )

    def known(self, name: str) -> str | None:
        """Return the registered form of `name`, with ``-`` for ``_`` and its own case; None if nothing has it."""
        return known_as(name, self.members)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.known(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.members))


def known_as(name: str, names: Iterable[str]) -> str | None:
    """Return which of `names` is meant by `name`: case, and ``_`` for ``-``, are forgiven where only one is meant.

    Example:
        >>> known_as("Trimmed_Mean", ["mean", "trimmed-mean"])
        'trimmed-mean'
    """
    names = list(names)
    if name in names:
        return name
    alike = [known for known in names if _folded(known) == _folded(name)]
    return alike[0] if len(alike) == 1 else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a question with the nearest of the known `names`, to put into a message; nothing where none is near.

    Example:
        >>> did_you_mean("meadian", ["median", "krum"])
        ', did you mean "median"?'
    """
    folded = {_folded(known): known for known in names}
    close = difflib.get_close_matches(_folded(name[:80]), folded, n=1, cutoff=0.6)
    return f', did you mean "{folded[close[0]]}"?' if close else ""


def _folded(name: str) -> str:
    return name.casefold().replace("_", "-")


def import_modules(package: str) -> None:
    """Import every module of a package, and of the packages in its folder."""
    for found in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        if found.ispkg:
            import_modules(found.name)
        else:
            importlib.import_module(found.name)


def import_dotted(path: str) -> Any:
    """Import the object at `path`, written ``package.module:name``.

    Raises:
        UnknownNameError: the module cannot or may not be imported, or it has no such name; the message names the line
            of a user's own module that failed.
    """
    module_name, _, name = path.partition(":")
    if why := refusal(module_name):
        raise UnknownNameError(f"{path!r}: {why}")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever a user's own module does while it is imported
        raise UnknownNameError(f"{path!r}: cannot import {module_name!r}: {_told(error)}") from error
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            hint = did_you_mean(part, [known for known in vars(module) if not known.startswith("_")])
            raise UnknownNameError(f"{path!r}: module {module_name!r} has no {name!r}{hint}")
        found = getattr(found, part)
        # What a module has imported, such as `os.system`, is not its own.
        owner = found.__name__ if isinstance(found, ModuleType) else getattr(found, "__module__", module_name)
        if why := refusal(owner or ""):
            raise UnknownNameError(f"{path!r}: {why}")
    return found


def _told(error: BaseException) -> str:
    """Return what went wrong in an import, with the file and line of the module that was being imported."""
    kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
    if isinstance(error, SyntaxError):
        return f"{kind}{error.msg} ({error.filename}, line {error.lineno})"
    return f"{kind}{error}{own_line(error)}"
