"""The record of a partition: the images of each client, with a hash."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.atomic import atomic
from fedrobust.data.dataset import DataError, feed
from fedrobust.data.partition.contract import Indices

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Partition:
    """A partition of the training images over clients.

    Args:
        method: name of the method.
        settings: the settings that the method uses, by name.
        seed: the study's seed.
        shards: one array of ascending positions in the training split a client, int64; every image is in
            exactly one.
        counts: images of each class or finding at each client, int64 (clients, classes).

    Example:
        >>> from fedrobust.data.partition import partition
        >>> shared = partition(np.array([0, 0, 0, 1, 1, 1]), clients=2, seed=3)
        >>> shared.sizes.tolist(), Partition.from_json(shared.to_json()).hash == shared.hash
        ([3, 3], True)
    """

    method: str
    settings: Mapping[str, Any]
    seed: int
    shards: tuple[Indices, ...]
    counts: NDArray[np.int64]

    @property
    def clients(self) -> int:
        """The number of clients."""
        return len(self.shards)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Images a client, int64 (clients,)."""
        return np.array([len(shard) for shard in self.shards], np.int64)

    @property
    def hash(self) -> str:
        """SHA-256 as hex over method, settings, seed, counts and every shard."""
        head = {"method": self.method, "settings": dict(self.settings), "seed": self.seed}
        sha = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
        for array in (self.counts, self.sizes, np.concatenate(self.shards)):
            feed(sha, array)
        return sha.hexdigest()

    @property
    def realised(self) -> dict[str, float]:
        """The unevenness of the shards: ``smallest``, ``largest`` and ``deviation`` of their sizes in images, and
        ``label-distance``, the mean total variation distance between a client's class distribution and that of all
        images.
        """  # noqa: D205
        sizes = self.sizes
        # A client's images may all be without any finding.
        mixtures = self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1)
        whole = self.counts.sum(axis=0) / self.counts.sum()
        return {
            "smallest": int(sizes.min()),
            "largest": int(sizes.max()),
            "deviation": float(sizes.std()),
            "label-distance": float(np.abs(mixtures - whole).sum(axis=1).mean() / 2),
        }

    @property
    def unevenness(self) -> str:
        """`realised` as text, such as ``5 to 120 images each, labels 0.31 from those of all``."""
        found = self.realised
        sizes = f"{found['smallest']} to {found['largest']}" if found["deviation"] else f"{found['smallest']}"
        return f"{sizes} images each, labels {found['label-distance']:.2f} from those of all"

    def to_json(self) -> str:
        """Return the partition as JSON, with its hash and its unevenness."""
        record = {
            "format": FORMAT,
            "method": self.method,
            "settings": dict(self.settings),
            "seed": self.seed,
            "hash": self.hash,
            "realised": self.realised,
            "counts": self.counts.tolist(),
            "indices": [shard.tolist() for shard in self.shards],
        }
        return json.dumps(record, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Partition":
        """Read a partition that `to_json` wrote.

        Raises:
            DataError: the text is not a partition, or its contents do not have the hash that it names.
        """
        try:
            record = json.loads(text)
            if record["format"] != FORMAT:
                raise DataError(f"partition format {record['format']!r}; allowed: {FORMAT}")
            read = cls(
                method=record["method"],
                settings=record["settings"],
                seed=record["seed"],
                shards=tuple(np.array(shard, np.int64) for shard in record["indices"]),
                counts=np.array(record["counts"], np.int64),
            )
            named, found = record["hash"], read.hash
        except DataError:
            raise
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise DataError(f"not a partition ({type(error).__name__}: {error})") from error
        if named != found:
            raise DataError(
                f"partition has hash {found} but names {named}: it was changed after it was written"
            )
        return read

    def write(self, path: Path) -> None:
        """Write the partition as JSON, atomically."""
        with atomic(path) as draft:
            draft.write_text(self.to_json(), encoding="utf-8")
