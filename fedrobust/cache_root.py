"""The cache folder: $FEDROBUST_CACHE, else in the user's cache folder."""

import os
import tempfile
from pathlib import Path


def cache_root() -> Path:
    """Return ``$FEDROBUST_CACHE``, else ``$XDG_CACHE_HOME/fedrobust``, else ``~/.cache/fedrobust``."""
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home folder, as in some containers
        home = Path(tempfile.gettempdir())
    return Path(os.environ.get("FEDROBUST_CACHE") or home / "fedrobust").expanduser()
