"""The contract of evasion attacks, and their registry."""

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
    """Base class of evasion attacks: a frozen dataclass of settings.

    An attack searches an adversary of each unbroken image through a `SearchState`. Class attributes declare its
    capabilities.

    Example:
        An attack that tries the negative of each image::

            @ATTACKS.register("negative")
            @dataclass(frozen=True, kw_only=True)
            class Negative(Attack):
                def run(self, state: SearchState) -> None:
                    state.query(1 - state.clean)  # projected onto the threat model, and kept where it succeeds
                    state.keep()
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf",)
    """Norms of the perturbation that it supports."""
    minimum_norm: ClassVar[bool] = False
    """It minimises the norm of the perturbation, so that one run gives the success at every epsilon."""
    white_box: ClassVar[bool] = True
    """It needs gradients."""
    multilabel: ClassVar[bool] = False
    """It can attack the findings of multi-label images, too."""
    ascends: ClassVar[bool] = False
    """Its last image has gone up all steps: the one that transfers; else the one of largest margin is."""
    nests: ClassVar[bool] = True
    """In figures by epsilon, an image that it broke counts as broken at larger ones, and is not attacked again."""
    prepares_per_epsilon: ClassVar[bool] = True
    """The result of `prepared` depends on epsilon."""

    @property
    def passes(self) -> int:
        """Most forward passes and gradients for an image at one epsilon."""
        return 1

    @property
    def target_class(self) -> int | None:
        """The target class; None for an untargeted attack."""
        return None

    @property
    def starts_clean(self) -> bool:
        """Whether its first query is the clean images, so that they need not be queried before."""
        return False

    @property
    def spent(self) -> tuple[int, int]:
        """Queries and gradients that `prepared` used, over all images together."""
        return 0, 0

    def prepared(
        self, target: TargetModel, images: Images, labels: Labels, threat: Threat, epsilon: float, seed: int
    ) -> "Attack":
        """Return the attack after the work that all images share: a trained surrogate, a universal perturbation.

        Args:
            target: the model.
            images: (n, height, width, channels) float32 in [0, 1].
            labels: (n,) int32.
            threat: the threat model.
            epsilon: bound of the perturbation, in the threat model's norm.
            seed: of random choices.
        """
        return self

    def run(self, state: SearchState) -> None:
        """Attack the unbroken images at ``state.epsilon``.

        It may be called again at the same epsilon, for images of a stochastic model whose adversaries were rejected.
        """
        raise NotImplementedError


def attack_named(spec: "str | Attack", **defaults: Any) -> Attack:
    """Return the attack that a study file names, such as ``"pgd(steps=20)"``.

    Raises:
        SpecError: it has a setting that the attack does not take.
        UnknownNameError: there is no such attack.
    """
    return spec if isinstance(spec, Attack) else build(ATTACKS, spec, **defaults)
