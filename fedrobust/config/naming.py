"""Names of settings in errors, and the import path of a user's own modules."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from fedrobust.config.messages import shown
from fedrobust.errors import ConfigError, FedrobustError
from fedrobust.own_modules import limited


def make_importable(base: str) -> None:
    """Add the study file's folder `base` and the current folder to the import path of dotted paths.

    Not where these may import some modules only: `base` is a folder of another machine then.
    """
    for folder in () if limited() else (base, os.getcwd()):
        if folder and folder not in sys.path:
            sys.path.append(folder)


@contextmanager
def naming(key: str, value: object) -> Iterator[None]:
    """Convert errors of the block to a `ConfigError` that begins with the setting."""
    try:
        yield
    except ConfigError:
        raise
    except (FedrobustError, TypeError, ValueError) as error:
        raise ConfigError(f"{key} = {shown(value)}: {error}") from error
