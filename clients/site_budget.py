"""A site's own privacy budget, kept whatever the server asks: updates have noise, and their epsilon is counted here."""

import datetime
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from logging import INFO
from pathlib import Path
from typing import Any

from flwr.supercore import log

from fedrobust.checks import check_protection
from fedrobust.errors import ConfigError
from fedrobust.privacy import PrivacyBudget, Releases, Update
from fedrobust.study import Study

SMALLEST_CLIP = 1e-12
"""Smallest norm to which gradients of images, or updates, are clipped: noise is drawn in its units, in float32."""


@dataclass(frozen=True)
class SiteBudget:
    """The privacy budget of a node whose images are its own.

    Attributes:
        budget: with its ledger.
        digest: of the study's settings, by which studies are told apart in the ledger.
    """

    budget: PrivacyBudget
    digest: str

    @classmethod
    def of(cls, node_config: Mapping[str, Any], run_config: Mapping[str, Any]) -> "SiteBudget | None":
        """Return the budget that a node's configuration names; None: it has none.

        Args:
            node_config: ``privacy-epsilon``, ``privacy-delta`` and ``privacy-ledger``, the path of the ledger.
            run_config: the study's settings.

        Raises:
            ConfigError: one of the three is missing, or no number in its range.

        Example:
            >>> SiteBudget.of({"partition-id": 0}, {}) is None
            True
        """
        names = ("privacy-epsilon", "privacy-delta", "privacy-ledger")
        given: list[Any] = [node_config.get(name) for name in names]
        epsilon, delta, ledger = given
        if given == [None] * len(names):
            return None
        numbers = isinstance(epsilon, int | float) and isinstance(delta, int | float)
        if not (numbers and epsilon > 0 and 0 < delta < 1 and isinstance(ledger, str)):
            raise ConfigError(
                f"node config {dict(zip(names, given, strict=True))}: a privacy budget has privacy-epsilon above 0, "
                "privacy-delta between 0 and 1, and privacy-ledger, the path of its ledger"
            )
        return cls(PrivacyBudget(float(epsilon), float(delta), Path(ledger)), digest_of(run_config))

    def check(self, study: Study, images: int, round: int) -> None:
        """Refuse a study that protects nothing before it is sent, or whose rounds the budget does not last for.

        Args:
            study: of the server.
            images: of the site.
            round: from 1, with which the study begins or goes on. The ledger does not know it: rounds that were
                repeated, or given up, are in it, too.

        Raises:
            ConfigError: its updates have no noise of the site's own, or something beside them would have none.
            BudgetError: the budget does not last for the rounds that are left.
        """
        left = study.experiment.federation.rounds - (round - 1)
        self.budget.check(self.releases(study, images), max(left, 0))

    def reserve(self, study: Study, images: int, round: int) -> None:
        """Count an update, before it is trained.

        Args:
            study: of the server.
            images: of the site.
            round: from 1.

        Raises:
            ConfigError: see `check`.
            BudgetError: the budget does not allow it; nothing is trained.
        """
        now = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S}"
        update = Update(study.experiment.name, self.digest, round, self.releases(study, images), now)
        spent = self.budget.reserve(update)
        # An older copy of the ledger is completed by these lines.
        log(INFO, "privacy budget: counted %s", json.dumps(asdict(update)))
        log(INFO, "privacy budget: epsilon %.3g of %g is spent", spent, self.budget.epsilon)

    def releases(self, study: Study, images: int) -> Releases:
        """Return the releases of one round at a site with so many images.

        Raises:
            ConfigError: see `check`.
        """
        check_protection(study)
        private, promise = study.dp_sgd, study.promise
        if private is not None:
            check_clip("privacy.example-clip", private.clip)
            return private.promise(images).releases.after(private.steps(images))
        if promise is not None and promise.noise == "local":
            check_clip(f"federation.postprocessors, {promise.mechanism}: clip", promise.clip)
            return promise.releases.after(1)
        raise ConfigError(
            "this site has a privacy budget (privacy-epsilon in site.toml), and nothing in this study adds noise "
            "before an update leaves the site: set privacy.example-epsilon or privacy.example-noise (DP-SGD), or "
            "federation.postprocessors = [\"gaussian-dp(noise='local')\"]"
        )


def check_clip(setting: str, clip: float) -> None:
    """Refuse a clipping norm that float32 rounds away.

    Raises:
        ConfigError: it is below `SMALLEST_CLIP`.
    """
    if clip < SMALLEST_CLIP:
        raise ConfigError(
            f"{setting} = {clip:g}: noise of this size is rounded to 0 in float32; this site, which has a privacy "
            f"budget, takes {SMALLEST_CLIP:g} and more"
        )


def digest_of(run_config: Mapping[str, Any]) -> str:
    """Return a digest of a study's settings without those that a resumed run may change.

    Example:
        >>> digest_of({"seed": 1, "output.resume": True}) == digest_of({"seed": 1})
        True
    """
    kept = sorted(
        (key, value) for key, value in run_config.items() if not key.startswith(("output.", "engine."))
    )
    return hashlib.sha256(repr(kept).encode()).hexdigest()[:16]
