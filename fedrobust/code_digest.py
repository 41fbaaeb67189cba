"""The digest of this project's code."""

import hashlib
from functools import cache
from pathlib import Path


@cache
def code_digest() -> str:
    """Return the SHA-256 of this project's Python files, which identifies the code that runs."""
    root = Path(__file__).parents[1]
    sha = hashlib.sha256()
    for package in ("clients", "fedrobust", "server"):
        for path in sorted((root / package).rglob("*.py")):
            sha.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return sha.hexdigest()
