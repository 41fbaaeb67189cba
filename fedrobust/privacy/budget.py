"""A site's privacy budget: the most that all studies may spend of its images, and a ledger of what they have spent."""

import fcntl
import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fedrobust.atomic import atomic, cannot_write
from fedrobust.errors import FedrobustError
from fedrobust.privacy.accounting import Releases, epsilon_together


class BudgetError(FedrobustError, RuntimeError):
    """A site's privacy budget does not allow an update, or its ledger is missing or cannot be read."""


@dataclass(frozen=True)
class Update:
    """What one local update released.

    Attributes:
        study: name of the study.
        digest: of the study's settings.
        round: number of the round, as the server told it.
        releases: of the update.
        time: when it was reserved, UTC.

    Example:
        >>> Update("mine", "0f3a", 1, Releases(1.5, 4, "poisson", 0.25)).releases.count
        4
    """

    study: str
    digest: str
    round: int
    releases: Releases
    time: str = ""

    @classmethod
    def read(cls, held: Mapping[str, Any]) -> "Update":
        """Return the update that `asdict` wrote.

        Raises:
            TypeError: a field is missing or unknown.
            ValueError: a release has no known sampling, or no number.
        """
        found = cls(**{**held, "releases": Releases(**held["releases"])})
        one = found.releases
        numbers = (one.noise_multiplier, one.count, one.rate)
        if one.sampling not in ("all", "poisson") or not all(
            type(n) in (int, float) and n >= 0 for n in numbers
        ):
            raise ValueError("no releases of a local update")
        return found


@dataclass(frozen=True)
class PrivacyBudget:
    """The most that training may spend of the privacy of a site's images, over all studies, and what it has spent.

    The updates of all studies are one composition of Gaussian mechanisms on the same images: epsilon is the smaller
    bound of Rényi divergences and privacy loss distributions (see `epsilon_together`). Neighbouring sets of images
    differ in one image that is added or removed. An update is written to the ledger **before** it is trained: one that
    was interrupted, or that the server asks for twice, counts each time. Without a ledger nothing is trained: one that
    was lost is not one in which nothing is spent.

    Attributes:
        epsilon: the most.
        delta: at which epsilon is computed.
        ledger: the file of all updates; all studies on the same images share it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     budget = PrivacyBudget(2.0, 1e-3, Path(folder) / "ledger.json")
        ...     budget.create()
        ...     first = budget.reserve(Update("mine", "0f3a", 1, Releases(4.0, 1)))
        ...     second = budget.reserve(Update("mine", "0f3a", 2, Releases(4.0, 1)))
        >>> round(first, 1), round(second, 1)
        (0.6, 0.9)
    """

    epsilon: float
    delta: float
    ledger: Path = field(compare=False)

    def create(self) -> None:
        """Write an empty ledger, in a folder that is there.

        Raises:
            BudgetError: there is one.
            DiskError: it cannot be written.
        """
        with self._locked():
            if self.ledger.exists():
                raise BudgetError(
                    f"{self.ledger}: there is a ledger already, with {len(self.updates())} updates"
                )
            self._write(())

    def check_writable(self) -> None:
        """Refuse a ledger to which this process cannot write; nothing is changed.

        Raises:
            BudgetError: its folder or its lock cannot be written or locked.
        """
        folder = self.ledger.parent
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
            # One that is not there is made with the first update, by the node's user.
            if self._lock.exists():
                self._lock.open("r+").close()
        except OSError as error:
            raise BudgetError(
                f"{self.ledger}: updates cannot be counted there: {error.strerror}: the node's user has to write in "
                f"{folder}; as a service it needs the line ReadWritePaths={folder} in its unit, in a container the "
                f"option -v {folder}:{folder}:z"
            ) from error

    def updates(self) -> tuple[Update, ...]:
        """Return all updates so far.

        Raises:
            BudgetError: the ledger is missing, damaged, or not to be read by this user.
        """
        try:
            held = json.loads(self.ledger.read_text(encoding="utf-8"))
            return tuple(Update.read(one) for one in held["updates"])
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BudgetError(
                f"{self.ledger}: there is no ledger of the privacy budget, and nobody knows what the images have "
                "spent: mount its disk, or put the file back; if they have spent nothing yet, make one with "
                "fedrobust deploy ledger FOLDER, the folder of site.toml"
            ) from error
        except OSError as error:
            raise BudgetError(
                f"{self.ledger}: the ledger of the privacy budget cannot be read: {error.strerror}; the node's user "
                "has to read and write it"
            ) from error
        except (ValueError, TypeError, KeyError) as error:
            raise BudgetError(
                f"{self.ledger}: the ledger of the privacy budget is damaged ({error}): put back a copy, and add the "
                "updates that were counted after it was made: the node's log has each as a line \"privacy budget: "
                'counted"; where they are not known any more, lower privacy-epsilon by what they may have spent'
            ) from error

    def spent(self, *more: Releases) -> float:
        """Return the epsilon of all updates so far, and of `more` releases.

        Raises:
            BudgetError: the ledger cannot be read.
            ConfigError: dp-accounting is not installed.
        """
        return epsilon_together([*(one.releases for one in self.updates()), *more], self.delta)

    def check(self, releases: Releases, rounds: int) -> None:
        """Refuse a study that the budget does not last for.

        Args:
            releases: of one round of the study.
            rounds: that are left.

        Raises:
            BudgetError: it does not last for all of them.
            ConfigError: dp-accounting is not installed.
        """

        def after(count: int) -> float:
            return self.spent(releases.after(releases.count * count))

        if after(rounds) <= self.epsilon:
            return
        low, high = 0, rounds
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if after(middle) <= self.epsilon else (low, middle)
        raise BudgetError(
            f"{self._given}: this site's images have spent epsilon {self.spent():.3g} in {len(self.updates())} "
            f"updates, and {rounds} rounds of this study would bring it to {after(rounds):.3g}: {low} of them fit; "
            "take fewer rounds, or more noise (privacy.example-noise, or noise_multiplier of the postprocessor)"
        )

    def reserve(self, update: Update) -> float:
        """Write an update to the ledger, and return the epsilon with it.

        Raises:
            BudgetError: the budget does not allow it, or the ledger cannot be read; nothing is written.
            ConfigError: dp-accounting is not installed.
            DiskError: the ledger cannot be written.
        """
        self.updates()  # of a disk that is not mounted, not even the lock is written
        with self._locked():
            before, spent = self.updates(), self.spent(update.releases)
            if not spent <= self.epsilon:
                now = (
                    "an infinite epsilon, as it has no noise" if math.isinf(spent) else f"epsilon {spent:.3g}"
                )
                raise BudgetError(
                    f"{self._given}: round {update.round} of {update.study} would bring what this site's images have "
                    f"spent in {len(before)} updates to {now}: it is not trained"
                )
            self._write((*before, update))
        return spent

    def _write(self, updates: Sequence[Update]) -> None:
        with atomic(self.ledger, mode=0o600) as path:
            held = {"updates": [asdict(one) for one in updates]}
            path.write_text(json.dumps(held, indent=1), encoding="utf-8")

    @property
    def _lock(self) -> Path:
        return self.ledger.with_suffix(".lock")

    @property
    def _given(self) -> str:
        return f"privacy-epsilon = {self.epsilon:g} at privacy-delta = {self.delta:g} in site.toml"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """In the block, be the only process that reads and writes the ledger."""
        try:
            file = self._lock.open("w")
        except OSError as error:
            raise cannot_write(self._lock, error) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
