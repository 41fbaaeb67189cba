"""Names of settings in errors, and where modules of a user's own are found."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from fedrobust.errors import ConfigError, FedrobustError


def make_importable(base: str) -> None:
    """Let dotted paths find modules beside the study file, in the folder `base`, and in the current folder."""
    for folder in (base, os.getcwd()):
        if folder and folder not in sys.path:
            sys.path.append(folder)


@contextmanager
def naming(key: str, value: object) -> Iterator[None]:
    """Say which setting was wrong: other errors of the block become a `ConfigError` that begins with it."""
    try:
        yield
    except ConfigError:
        raise
    except (FedrobustError, TypeError, ValueError) as error:
        shown = f'"{value}"' if isinstance(value, str) else value
        raise ConfigError(f"{key} = {shown}: {error}") from error
