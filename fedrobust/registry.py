"""Names that users type, mapped to the classes and functions behind them.

One `Registry` per family (rules, recipes, attacks, ...). Wherever a registered name is accepted, a dotted path
`my_package.my_module:MyThing` works as well.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, TypeVar

from fedrobust.errors import FedrobustError

T = TypeVar("T")


class UnknownNameError(FedrobustError, LookupError):
    """A name is neither registered nor a dotted path that can be imported."""


@dataclass(frozen=True)
class Registry:
    """A family of named things.

    Args:
        family: what one member is called in messages, such as ``"aggregation rule"``.

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
    members: dict[str, Any] = field(default_factory=dict)

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that files a class or function under `name`."""

        def file(member: T) -> T:
            if name in self.members:
                raise ValueError(f"{self.family} {name!r} is registered twice")
            self.members[name] = member
            return member

        return file

    def __getitem__(self, name: str) -> Any:
        if name in self.members:
            return self.members[name]
        if ":" in name:
            return import_dotted(name)
        raise UnknownNameError(
            f"{name!r} is no {self.family}; choose one of: "
            f'{", ".join(sorted(self.members))}; or give a dotted path "package.module:name"'
            f"{did_you_mean(name, self.members)}"
        )

    def __contains__(self, name: object) -> bool:
        return name in self.members

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.members))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question with the closest of the known names, to put into a message; nothing where none is close.

    Upper and lower case, and - and _, count as the same.

    Example:
        >>> did_you_mean("Trimmed_Mean", ["median", "trimmed-mean"])
        ', did you mean "trimmed-mean"?'
    """
    folded = {one.lower().replace("_", "-"): one for one in known}
    close = get_close_matches(name.lower().replace("_", "-"), folded, n=1, cutoff=0.6)
    return f', did you mean "{folded[close[0]]}"?' if close else ""


def import_dotted(path: str) -> Any:
    """Import the object at `path`, written ``package.module:name``.

    Raises:
        UnknownNameError: the module cannot be imported, or it has no such name.
    """
    module_name, _, name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UnknownNameError(f"{path!r}: cannot import {module_name!r}: {error}") from error
    except (Exception, SystemExit) as error:  # whatever a user's own module does when it is imported
        raise UnknownNameError(
            f"{path!r}: importing {module_name!r} ends in {type(error).__name__}: {error}"
        ) from error
    if not hasattr(module, name):
        raise UnknownNameError(f"{path!r}: module {module_name!r} has no {name!r}")
    return getattr(module, name)
