"""What a graph depends on, as a name for its file."""

import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

from fedrobust.code_digest import code_digest
from fedrobust.memoize import parts_and_fields
from fedrobust.processor import processor_name

PACKAGES = ("keras", "numpy", "tensorflow")


@dataclass(frozen=True)
class Origin:
    """Settings that decide what a function computes, all of them this project's own.

    Attributes:
        settings: by name; parts such as recipes as text.

    Example:
        >>> network = Origin.of(model="edge-cnn", native=(28, 28, 1))
        >>> network.name("answers") == network.name("answers"), network.name("answers") == network.name("gradient")
        (True, False)
        >>> class Own:
        ...     pass
        >>> network.and_of(recipe=Own()) is None
        True
    """

    settings: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, **parts: Any) -> "Origin | None":
        """Return the origin of what is made of `parts`; None where one is not known by its text.

        Known are plain values, and dataclasses of this project, whose fields are.
        """
        return cls().and_of(**parts)

    def and_of(self, **parts: Any) -> "Origin | None":
        """Return the origin of what is made of this and of `parts`; None where one is not known by its text."""
        if not all(map(_known, parts.values())):
            return None
        return Origin((*self.settings, *((name, repr(part)) for name, part in sorted(parts.items()))))

    def name(self, purpose: str) -> str:
        """Return the name of the file for one of the things that are made of it."""
        about = [purpose, *self.settings, *software().items()]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def _known(part: Any) -> bool:
    if part is None or isinstance(part, bool | int | float | str):
        return True
    if isinstance(part, tuple | list):
        return all(map(_known, part))
    if isinstance(part, Mapping):
        return all(map(_known, part.items()))
    # A recipe inside of another is a part of it: a user's own is told by its module there, not by its text.
    ours = type(part).__module__.startswith("fedrobust.")
    return ours and is_dataclass(part) and all(map(_known, parts_and_fields(part).values()))


@cache
def software() -> dict[str, str]:
    """Return what decides how a function is traced and optimised: code, packages, switches, and the processor."""
    switches = {name: value for name, value in os.environ.items() if name.startswith(("TF_", "KERAS_"))}
    return {
        "code": code_digest(),
        "python": sys.version,
        "system": f"{platform.system()} {platform.machine()} {processor_name()}",
        **{name: version(name) for name in PACKAGES},
        **{name: value for name, value in sorted(switches.items()) if "LOG_LEVEL" not in name},
    }
