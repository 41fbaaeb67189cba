"""Atomic downloads with a check of MD5, and of SHA-256 where it is known."""

import hashlib
import urllib.request
from pathlib import Path
from typing import IO

from fedrobust.atomic import atomic
from fedrobust.data.dataset import DataError

SECONDS = 30.0
"""Time limit for a download without progress."""
CHUNK = 1 << 20


def download(url: str, target: Path, expected: str, sha256: str = "") -> Path:
    """Download `url` to `target` atomically: the file appears only with the right sums.

    Args:
        url: the address.
        target: the file, in an existing folder.
        expected: its MD5 as hex.
        sha256: its SHA-256 as hex; empty if it is not known.

    Raises:
        DataError: the download has another MD5 or SHA-256.
        OSError: the address cannot be reached, or the folder cannot be written.
    """
    with atomic(target) as draft:
        with draft.open("wb") as file:
            found = receive(url, file, target.name)
        if found != expected:
            raise DataError(
                f"{url}: MD5 {found}, expected {expected}: the download is damaged or the published file "
                "has changed; nothing was kept, try again"
            )
        with draft.open("rb") as file:
            sum256 = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 and sum256 != sha256:
            raise DataError(
                f"{url}: SHA-256 {sum256}, expected {sha256}: it has the published MD5, and is not the published file; "
                "nothing was kept"
            )
    return target


def receive(url: str, file: IO[bytes], title: str) -> str:
    """Write the contents of `url` to `file` with a progress bar on a terminal; return the MD5 as hex."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    md5 = hashlib.md5(usedforsecurity=False)
    with (
        urllib.request.urlopen(url, timeout=SECONDS) as response,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):
        length = response.headers.get("Content-Length")
        task = progress.add_task(title, total=int(length) if length else None)
        while chunk := response.read(CHUNK):
            file.write(chunk)
            md5.update(chunk)
            progress.advance(task, len(chunk))
    return md5.hexdigest()
