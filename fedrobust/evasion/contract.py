"""What an evasion attack is, and the registry of attacks."""

from dataclasses import dataclass
from typing import Any, ClassVar

from fedrobust.evasion.models.protocol import Labels, TargetModel
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Images, Norm, Threat
from fedrobust.registry import Registry
from fedrobust.spec import build

ATTACKS = Registry("evasion attack", "fedrobust.evasion.attacks")


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A frozen dataclass of settings; every attack inherits from this.

    An attack searches an adversary of each unbroken image, with `SearchState`. Class attributes say what it can do.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf",)
    """The norms in which it searches."""
    nearest: ClassVar[bool] = False
    """It minimises the distance; any epsilon can then be read off its result."""
    white_box: ClassVar[bool] = True
    """It needs gradients."""
    prepares_per_epsilon: ClassVar[bool] = True
    """What it learns from all images together depends on epsilon."""

    @property
    def passes(self) -> int:
        """How many times it calls the model for an image at one epsilon, at most."""
        return 1

    @property
    def target_class(self) -> int | None:
        """The class that it wants; None where any wrong class will do."""
        return None

    @property
    def starts_clean(self) -> bool:
        """Whether the first thing it does is to ask about the clean images."""
        return False

    @property
    def spent(self) -> tuple[int, int]:
        """Queries and gradients that `prepared` took, for all images together."""
        return 0, 0

    def prepared(
        self, target: TargetModel, images: Images, labels: Labels, threat: Threat, epsilon: float, seed: int
    ) -> "Attack":
        """Return the attack with what it learns from all images together, before it turns to each of them."""
        return self

    def run(self, state: SearchState) -> None:
        """Attack the unbroken images, at the state's epsilon."""
        raise NotImplementedError


def attack_named(spec: "str | Attack", **defaults: Any) -> Attack:
    """Return the attack that a study file names, such as ``"pgd(steps=20)"``.

    Raises:
        SpecError: it has a setting that the attack does not take.
        UnknownNameError: there is no such attack.
    """
    return spec if isinstance(spec, Attack) else build(ATTACKS, spec, **defaults)
