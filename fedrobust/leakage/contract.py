"""The contract of attacks on privacy, and their registry.

An attack is a frozen dataclass of settings, of one kind: a `MembershipAttack` asks whether an image was trained on, a
`CraftedHeadAttack` of a malicious server whether it is one of a client's, an `InversionAttack` what the images of an
update look like, a `PropertyAttack` which share of a client's images has a class, and an `AuditAttack` whether a
promise of differential privacy is kept.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fedrobust.bounds import Count, FromTwo
from fedrobust.errors import ConfigError
from fedrobust.leakage.confidence import Floats
from fedrobust.registry import Registry
from fedrobust.spec import build

if TYPE_CHECKING:
    from fedrobust.leakage.captured import CapturedUpdate, Reconstruction

LEAKAGE = Registry("attack on privacy", "fedrobust.leakage.attacks")

Kind = Literal["membership", "inversion", "property", "audit"]
Sees = Literal["model", "rounds", "updates", "active"]
"""What an attacker needs: the final model; the global models of several rounds, which every client is sent; single
updates, which the server is sent unless it sees sums only; or to be a malicious server, which also sends a client other
models than the global one."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a membership attack sees of n images, and of z others that no model was trained on.

    Shadow federations are those of the same study on other draws of the images. With index s and round r,
    ``shadows[s, r, i]`` is the confidence (see `confidence`) of shadow s after round r in the label of image i.

    Attributes:
        target: confidences of the attacked model, (rounds, n); the last row is that of the final model.
        shadows: (s, rounds, n).
        members: whether shadow s was trained on image i, (s, n).
        population: confidences of the attacked final model in z images that are known not to be members, (z,).
        shadow_population: likewise of the shadows, (s, z).
        alignments: cosine of a client's update with the descent direction of each image, (captured rounds, n).
    """

    target: Floats
    shadows: Floats = field(default_factory=lambda: np.zeros((0, 1, 0)))
    members: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), bool))
    population: Floats = field(default_factory=lambda: np.zeros(0))
    shadow_population: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    alignments: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    def with_shadows(self, count: int) -> "Evidence":
        """Return the evidence with the first `count` shadows alone."""
        return Evidence(
            self.target,
            self.shadows[:count],
            self.members[:count],
            self.population,
            self.shadow_population[:count],
            self.alignments,
        )


@dataclass(frozen=True, kw_only=True)
class LeakageAttack:
    """Base class of attacks on privacy."""

    kind: ClassVar[Kind] = "membership"
    sees: ClassVar[Sees] = "model"

    @property
    def federations(self) -> int:
        """Number of shadow federations that it needs."""
        return 0


@dataclass(frozen=True, kw_only=True)
class MembershipAttack(LeakageAttack):
    """Base class of attacks that tell members, the images that a model was trained on, from others.

    Example:
        An attack that trusts the first round's model::

            @LEAKAGE.register("first-round")
            @dataclass(frozen=True, kw_only=True)
            class FirstRound(MembershipAttack):
                sees = "rounds"

                def __call__(self, evidence: Evidence) -> Floats:
                    return evidence.target[0]
    """

    def __call__(self, evidence: Evidence) -> Floats:
        """Return a score of each image, (n,), finite: the higher, the likelier it is a member."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class CraftedHeadAttack(LeakageAttack):
    """Base class of attacks by a malicious server on training of the head alone: is an image one of a client's?

    For each image it sends the client two heads in two rounds, and compares what the client makes of them.

    Attributes:
        clients: that are attacked.
        images: of each of them; every attacked client is asked for the images of all.
        pairs: of heads for each image.
    """

    kind: ClassVar[Kind] = "membership"
    sees: ClassVar[Sees] = "active"

    clients: FromTwo = 4
    images: Count = 30
    pairs: Count = 1

    def heads(self, features: Floats, label: int, own: Floats, classes: int) -> Floats:
        """Return the two heads that are sent, (2, d + 1, classes), the bias last.

        Args:
            features: of the image, (d,).
            label: of the image.
            own: features of the server's own images, (m, d).
            classes: their number.
        """
        raise NotImplementedError

    def score(self, features: Floats, label: int, updates: Floats) -> float:
        """Return how likely the image is a member, finite.

        Args:
            features: of the image, (d,).
            label: of the image.
            updates: of the two heads, the mean over the pairs, (2, d + 1, classes).
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class InversionAttack(LeakageAttack):
    """Base class of attacks that reconstruct images from one update.

    Attributes:
        images: of the attacked client; the fewer, the easier.
        trials: clients that are attacked, one update each.
        round: of the attacked updates; in the first the model is untrained, which is easiest.
    """

    kind: ClassVar[Kind] = "inversion"
    sees: ClassVar[Sees] = "updates"

    images: Count = 1
    trials: Count = 2
    round: Count = 1

    def __call__(self, captured: "CapturedUpdate") -> "Reconstruction":
        """Return images and labels; the same for the same seed."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class PropertyAttack(LeakageAttack):
    """Base class of attacks that estimate a property of a client's images from its update.

    Attributes:
        updates: shadow clients for each attacked client.
        round: of the attacked updates.
    """

    kind: ClassVar[Kind] = "property"
    sees: ClassVar[Sees] = "updates"

    updates: FromTwo = 64
    round: Count = 1

    def __call__(self, updates: Floats, properties: Floats, attacked: Floats) -> Floats:
        """Return the estimated properties of the attacked updates, (m,).

        Args:
            updates: of shadow clients, (s, d).
            properties: of their images, (s,).
            attacked: updates of which the property is not known, (m, d).
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class AuditAttack(LeakageAttack):
    """Base class of audits of a promise of differential privacy.

    Attributes:
        canaries: worst-case clients, each included with probability one half.
    """

    kind: ClassVar[Kind] = "audit"
    sees: ClassVar[Sees] = "rounds"

    canaries: FromTwo = 1000


def leakage_attack_named(spec: "str | LeakageAttack", **defaults: Any) -> LeakageAttack:
    """Return the attack on privacy that a spec names, such as ``"lira(shadows=32)"``.

    Raises:
        SpecError: it has a setting that the attack does not take.
        UnknownNameError: there is no such attack.
    """
    return spec if isinstance(spec, LeakageAttack) else build(LEAKAGE, spec, **defaults)


FEWEST_FEDERATIONS = 6
"""Of shadows: each is attacked by those of other halves, of which two have each image, and two have not."""


def check_federations(count: int, attack: str = "") -> None:
    """Refuse a number of shadow federations of which an attack cannot learn.

    Args:
        count: the number.
        attack: that names it; "" if all share it.

    Raises:
        ConfigError: it is odd, or below `FEWEST_FEDERATIONS`.
    """
    if count < FEWEST_FEDERATIONS or count % 2:
        named = f'attack = "{attack}": ' if attack else ""
        raise ConfigError(
            f"{named}shadows = {count}: choose an even number from {FEWEST_FEDERATIONS}: halves come in pairs, and "
            "each shadow is attacked by those of the other pairs"
        )
