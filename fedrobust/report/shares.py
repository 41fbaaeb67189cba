"""The partition of the training images in a run folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ClientShares:
    """The partition of the training images: ``counts[client][class]``, of the first clients if there are many."""

    method: str
    settings: Mapping[str, Any]
    seed: Any
    hash: str
    counts: Sequence[Sequence[int]]
    clients: int

    @classmethod
    def read(cls, path: Path) -> "ClientShares":
        """Load ``partition.json``.

        Raises:
            ValueError: it is not JSON, or has no counts.
        """
        data = json.loads(path.read_text(encoding="utf-8"))
        counts = data.get("counts") if isinstance(data, dict) else None
        if not counts or not all(isinstance(row, list) and row for row in counts):
            raise ValueError("it holds no counts of images by client and class")
        return cls(
            method=str(data.get("method", "")),
            settings=data.get("settings") or {},
            seed=data.get("seed"),
            hash=str(data.get("hash", "")),
            counts=[[int(count) for count in row] for row in counts],
            clients=int(data.get("clients", len(counts))),
        )
