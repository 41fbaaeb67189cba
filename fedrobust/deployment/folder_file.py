"""The TOML file of a deployment's folder, read by kind of value."""

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedrobust.errors import FedrobustError


class DeploymentError(FedrobustError):
    """A deployment's folder cannot be made, read or used."""


class FolderFile:
    """The values of a file.

    Args:
        path: the file.

    Raises:
        DeploymentError: it cannot be read, or is not TOML.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self.held: Mapping[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise DeploymentError(f"{path}: cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise DeploymentError(f"{path}: not TOML: {error}") from error

    def wrong(self, key: str, allowed: str) -> DeploymentError:
        """Return the error of a key."""
        found = f"{key} = {self.held[key]!r}" if key in self.held else f"no {key}"
        return DeploymentError(f"{self.path}: {found}; allowed: {allowed}; see INSTRUCTIONS.md beside it")

    def text(self, key: str) -> str:
        """Return a text that is not empty."""
        value = self.held.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, "a text")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self.held.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
            raise self.wrong(key, "a list of texts")
        return tuple(value)

    def switch(self, key: str) -> bool:
        """Return true or false."""
        value = self.held.get(key)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def number(self, key: str, most: float = math.inf) -> float:
        """Return a number above 0 and below `most`."""
        value: Any = self.held.get(key)
        if type(value) not in (int, float) or not 0 < value < most:
            raise self.wrong(key, "a number above 0" + ("" if math.isinf(most) else f" and below {most:g}"))
        return float(value)

    def port(self, key: str) -> int:
        """Return a port."""
        (value,) = self.whole_numbers(key, 0)
        if not 1 <= value <= 65535:
            raise self.wrong(key, "a port, 1 to 65535")
        return value

    def whole_numbers(self, key: str, length: int) -> tuple[int, ...]:
        """Return a list of `length` whole numbers from 0; of length 0, one number alone."""
        value = self.held.get(key)
        found = value if length and isinstance(value, list) else [value]
        if len(found) != (length or 1) or not all(type(each) is int and each >= 0 for each in found):
            raise self.wrong(
                key, f"{length} whole numbers from 0, as a list" if length else "a whole number from 0"
            )
        return tuple(found)
