"""Attacks on the privacy of a run, as ``leakage.json`` holds them."""

from collections.abc import Mapping
from typing import Any

from fedrobust.runs.codec import entry, read, record, to_json
from fedrobust.runs.record.metrics import Interval

SCHEMA = 1
"""Of the files that this version writes."""


@record
class RateRecord:
    """A true positive rate at a false positive rate."""

    false_positive_rate: float = entry("that may not be exceeded")
    value: float | None = entry(
        "share of members found; null: too few others to resolve the rate", default=None
    )
    interval: Interval | None = entry("of it, 95 %", default=None)
    found: int = entry("members above the threshold")
    members: int = entry("all members")
    false: int = entry("others above the threshold")
    others: int = entry("all others")


@record
class MembershipRecord:
    """An attack that tells images that were trained on from others."""

    attack: str = entry("with its settings")
    sees: str = entry("what the attacker needs", choices=("model", "rounds", "updates", "active"))
    target: str = entry("what is attacked", choices=("model", "shadows", "clients"))
    targets: int = entry("models, shadow federations or clients attacked", default=1)
    shadows: int = entry("shadow federations that the attack used", default=0)
    others: str = entry("the images that are no members")
    auc: float = entry("0.5 is guessing")
    interval: Interval = entry("of the AUC, 95 %")
    rates: tuple[RateRecord, ...] = entry("true positive rates at low false positive rates", default=())
    control: str = entry("what the control compares", default="")
    control_auc: float | None = entry("AUC where membership tells nothing", default=None)
    seconds: float = entry("that it took, without training shadows", default=0.0)


@record
class InversionRecord:
    """Images reconstructed from one client's update."""

    attack: str = entry("with its settings")
    client: int = entry("whose update was captured")
    round: int = entry("in which")
    images: int = entry("in the update")
    steps: int = entry("local steps in the update")
    batchnorm: str = entry("as it was in the client's step", choices=("training", "evaluation", "none"))
    labels_found: int = entry("labels inferred rightly, counted as a multiset")
    psnr: tuple[float, ...] = entry("of each image against its reconstruction, in dB, best match")
    neighbour_psnr: tuple[float, ...] = entry(
        "of each image against the most similar other training image, in dB"
    )
    matched: float = entry("cosine of the captured and the reconstructed update")
    seconds: float = entry("that it took", default=0.0)


@record
class PropertyRecord:
    """Shares of a class at hospitals, estimated from their updates."""

    attack: str = entry("with its settings")
    finding: str = entry("the class")
    clients: int = entry("attacked")
    updates: int = entry("shadow updates that it was fitted to")
    error: float = entry("mean absolute error of the share")
    constant_error: float = entry(
        "mean absolute error of always answering the mean share of the shadow updates"
    )
    interval: Interval = entry("of the difference of the errors, constant minus attack, 95 %")
    estimates: tuple[float, ...] = entry("of each client", default=())
    truth: tuple[float, ...] = entry("of each client", default=())
    seconds: float = entry("that it took", default=0.0)


@record
class PrivacyAuditRecord:
    """A lower bound of epsilon from canaries, in one run of the mechanism."""

    unit: str = entry("what is protected", choices=("client", "image"))
    mechanism: str = entry("its name and settings")
    claimed: float | None = entry("epsilon that was claimed; null: none was", default=None)
    delta: float = entry("of the claim")
    canaries: int = entry("each included with probability one half")
    guesses: int = entry("canaries on which the audit did not abstain")
    right: int = entry("right guesses")
    bound: float = entry("lower bound of epsilon at 95 % confidence")
    ceiling: float = entry(
        "the largest bound that as many guesses could give: claims above it cannot be refuted"
    )
    noise: float | None = entry(
        "measured standard deviation of the noise of the sum, in clipping norms", default=None
    )
    noise_interval: Interval | None = entry("of it, 99.9 %", default=None)
    noise_claimed: float | None = entry("the noise multiplier that was claimed", default=None)
    caught: bool = entry("whether the claim is refuted: by the bound, or by noise below the claimed one")
    seconds: float = entry("that it took", default=0.0)


@record
class LeakageRecord:
    """What attacks on the privacy of a run found."""

    schema: int = entry("version of this shape", default=SCHEMA)
    run: str = entry("name of the study")
    model: str = entry("SHA-256 of the attacked weights, as in result.json", default="")
    seed: int = entry("of everything random")
    shadows: int = entry("shadow federations that were trained", default=0)
    membership: tuple[MembershipRecord, ...] = entry("a row for each attack and target", default=())
    inversion: tuple[InversionRecord, ...] = entry("a row for each captured update", default=())
    property: tuple[PropertyRecord, ...] = entry("a row for each attack", default=())
    audits: tuple[PrivacyAuditRecord, ...] = entry("of the claimed differential privacy", default=())
    skipped: tuple[str, ...] = entry("attacks that were not made, and why", default=())
    seconds: float = entry("that everything took, with the shadows", default=0.0)
    environment: Mapping[str, Any] = entry("versions, processor, threads", default_factory=dict)

    @classmethod
    def read(cls, value: Any) -> "LeakageRecord":
        """Read the content of a ``leakage.json``.

        Raises:
            RecordError: a key has a value of another kind.
        """
        return read(cls, value)

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``leakage.json``."""
        plain: dict[str, Any] = to_json(self)
        return plain
