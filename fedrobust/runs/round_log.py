"""The records of a run's rounds on disk, so that neither its memory nor its checkpoints grow with their number."""

import hashlib
import json
import shutil
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import overload

from fedrobust.runs.folder import RunFolder, RunFolderError
from fedrobust.runs.record import RoundRecord

LOG = "checkpoints/rounds.jsonl"
_STRIDE = 64
METRICS = "metrics.jsonl"
"""The public copy of the log. A damaged log is restored from it; nothing else depends on it."""


@dataclass(frozen=True)
class Mark:
    """A length of a log, with the digest of its content up to there: a checkpoint's rounds.

    Attributes:
        rounds: number of records.
        size: bytes.
        digest: SHA-256 of these bytes, in hexadecimal.
    """

    rounds: int = 0
    size: int = 0
    digest: str = hashlib.sha256().hexdigest()

    def found(self, path: Path) -> bool:
        """Return whether a file begins with the marked content."""
        if not path.is_file() or path.stat().st_size < self.size:
            return False
        return digest_of_start(path, self.size) == self.digest

    def source(self, folder: RunFolder) -> Path:
        """Return the file of a run that begins with the marked content.

        Raises:
            RunFolderError: none does.
        """
        for name in (LOG, METRICS):
            if self.found(path := folder.file(name)):
                return path
        raise RunFolderError(
            f"{folder.path}: neither {LOG} nor {METRICS} begins with the records of the first {self.rounds} rounds: "
            "they were changed"
        )

    def records(self, folder: RunFolder) -> Iterator[RoundRecord]:
        """Return the marked records, read one by one.

        Raises:
            RunFolderError: they were changed.
        """
        with self.source(folder).open("rb") as file:
            for _ in range(self.rounds):
                yield _read(file.readline())


class RoundLog(Sequence[RoundRecord]):
    """The records of a run's rounds, a line of JSON each in ``checkpoints/rounds.jsonl``; read when asked for.

    In memory is where every 64th line begins: eight bytes.

    Args:
        folder: of the run.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     log = RoundLog.of(RunFolder(Path(folder)), [RoundRecord(round=1), RoundRecord(round=2)])
        ...     log.append(RoundRecord(round=3))
        ...     [one.round for one in log], log[-1].round, log.mark.rounds
        ([1, 2, 3], 3, 3)
    """

    def __init__(self, folder: RunFolder):
        self.folder, self.path = folder, folder.file(LOG)
        self._rounds = self._size = 0
        self._starts = array("q")
        self._sha = hashlib.sha256()

    @classmethod
    def of(cls, folder: RunFolder, records: Iterable[RoundRecord]) -> "RoundLog":
        """Write a log of these records, atomically."""
        return cls._written(folder, (_line(one) for one in records))

    @classmethod
    def continued(cls, folder: RunFolder, mark: Mark) -> "RoundLog":
        """Return the log of a run up to a checkpoint's mark; later records are removed.

        Raises:
            RunFolderError: the records up to there were changed.
        """
        with mark.source(folder).open("rb") as file:
            return cls._written(folder, (file.readline() for _ in range(mark.rounds)))

    @classmethod
    def _written(cls, folder: RunFolder, lines: Iterable[bytes]) -> "RoundLog":
        log = cls(folder)
        log.path.parent.mkdir(exist_ok=True)

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                for line in lines:
                    file.write(line)
                    log._note(line)

        folder.write_with(LOG, write)
        return log

    def append(self, record: RoundRecord) -> None:
        """Add the record of a round, and flush it to disk."""
        self._note(self.folder.append_line(LOG, record.plain))

    def publish(self) -> None:
        """Write ``metrics.jsonl`` anew, atomically."""
        self.folder.write_with(METRICS, lambda temporary: shutil.copyfile(self.path, temporary))

    @property
    def mark(self) -> Mark:
        """The mark at its end."""
        return Mark(self._rounds, self._size, self._sha.hexdigest())

    def _note(self, line: bytes) -> None:
        if self._rounds % _STRIDE == 0:
            self._starts.append(self._size)
        self._rounds += 1
        self._size += len(line)
        self._sha.update(line)

    def __len__(self) -> int:
        """Return the number of rounds."""
        return self._rounds

    @overload
    def __getitem__(self, index: int) -> RoundRecord: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[RoundRecord, ...]: ...

    def __getitem__(self, index: int | slice) -> RoundRecord | tuple[RoundRecord, ...]:
        """Return the record at one place, or at several."""
        places = range(len(self))[index]
        if isinstance(places, range):
            backwards = places.step < 0
            ordered = places[::-1] if backwards else places
            lines = islice(self._lines(ordered.start), 0, len(ordered) * ordered.step, ordered.step)
            records = tuple(_read(line) for line in lines)
            return records[::-1] if backwards else records
        return _read(next(self._lines(places)))

    def __iter__(self) -> Iterator[RoundRecord]:
        """Return the records in order, without keeping them."""
        return map(_read, self._lines())

    def _lines(self, start: int = 0) -> Iterator[bytes]:
        """Yield the lines from a place on."""
        if start >= len(self):
            return
        with self.path.open("rb") as file:
            file.seek(self._starts[start // _STRIDE])
            yield from islice(file, start % _STRIDE, len(self) - start + start % _STRIDE)


def _line(record: RoundRecord) -> bytes:
    return (json.dumps(record.plain, allow_nan=False) + "\n").encode()


def _read(line: bytes) -> RoundRecord:
    return RoundRecord.read(json.loads(line))


def digest_of_start(path: Path, size: int) -> str:
    """Return the SHA-256 of the first `size` bytes of a file, in hexadecimal."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (part := file.read(min(size, 2**20))):
            sha.update(part)
            size -= len(part)
    return sha.hexdigest()
