"""The settings of an audit: the threat model, and the effort of its attacks."""

import math
from dataclasses import dataclass, field
from typing import Literal

from fedrobust.config import ConfigError, Epsilon
from fedrobust.epsilon import LEVEL, epsilon_value
from fedrobust.evasion import Threat

Effort = Literal["quick", "standard", "full"]

SHORT: dict[str, tuple[Epsilon, ...]] = {
    "linf": ("0.5/255", "1/255", "2/255", "4/255", "8/255"),
    "l2": (0.1, 0.5, 2.0),
    "l0": (1, 5),
}
"""Epsilons of the accuracy curve at the quick effort."""

CURVES: dict[str, tuple[Epsilon, ...]] = {
    "linf": (0.001, 0.002, 0.003, 0.004, 0.005, "0.5/255", "1/255", "2/255", "4/255", "8/255"),
    "l2": (0.1, 0.25, 0.5, 1.0, 2.0),
    "l0": (1, 3, 5, 10),
}
"""Epsilons of the accuracy curve: the paper's five and whole grey levels; usual values in l2; pixels in l0."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The settings of an audit.

    Attributes:
        epsilon: of the verdict.
        threat: the threat model: norm, space, format of images.
        effort: "quick" for use during development, "standard", or "full": AutoAttack's own steps and queries.
        seed: of all random numbers.
        curve: epsilons of the accuracy curve, including the verdict's.

    Raises:
        ConfigError: a setting is wrong.
    """

    epsilon: Epsilon = "2/255"
    threat: Threat = field(default_factory=Threat)
    effort: Effort = "standard"
    seed: int = 0
    curve: tuple[Epsilon, ...] = ()

    def __post_init__(self) -> None:
        if self.effort not in ("quick", "standard", "full"):
            raise ConfigError(f"effort = {self.effort!r}: choose quick, standard or full")
        if not self.value > 0:
            raise ConfigError(f"epsilon = {self.epsilon}: choose a number above 0")
        least = min((self.epsilon, *self.curve), key=epsilon_value)
        if self.threat.bits and not epsilon_value(least) >= LEVEL * (1 - 1e-6):
            raise ConfigError(
                f"epsilon = {least} with bits = {self.threat.bits}: no other 8-bit image lies within; choose at "
                "least 1/255, one grey level, or bits = 0"
            )
        curves = SHORT if self.effort == "quick" else CURVES
        usual = [
            one for one in curves[self.threat.norm] if not self.threat.bits or epsilon_value(one) >= LEVEL
        ]
        chosen = {epsilon_value(one): one for one in (self.curve or usual)}
        chosen.setdefault(self.value, self.epsilon)
        object.__setattr__(self, "curve", tuple(chosen[value] for value in sorted(chosen)))

    @property
    def value(self) -> float:
        """Epsilon as a number."""
        return epsilon_value(self.epsilon)

    @property
    def values(self) -> tuple[float, ...]:
        """The curve's epsilons as numbers, ascending."""
        return tuple(epsilon_value(one) for one in self.curve)

    @property
    def pgd_steps(self) -> int:
        """Steps of PGD."""
        return {"quick": 10, "standard": 20, "full": 40}[self.effort]

    def pgd(self, steps: int, *settings: str) -> str:
        """Return this effort's PGD with a number of steps.

        The quick effort has Madry's constant step size of 2.5 epsilon / steps (2017, arXiv:1706.06083), for comparison
        with published figures; the other efforts have a decreasing step size, which breaks more images.

        Example:
            >>> Plan(effort="quick").pgd(20, "restarts=6"), Plan().pgd(20)
            ('pgd(steps=20, step_size=0.125, restarts=6)', 'pgd(steps=20)')
        """
        equal = [f"step_size={2.5 / steps}"] if self.effort == "quick" else []
        return f"pgd({', '.join([f'steps={steps}', *equal, *settings])})"

    @property
    def draws(self) -> int:
        """Outputs of a stochastic model that are averaged (EOT)."""
        return {"quick": 2, "standard": 8, "full": 16}[self.effort]

    @property
    def steps(self) -> int:
        """Steps of the ensemble's gradient attacks."""
        return {"quick": 20, "standard": 50, "full": 100}[self.effort]

    @property
    def queries(self) -> int:
        """Square's queries per image that is not yet broken."""
        return {"quick": 150, "standard": 1000, "full": 5000}[self.effort]

    @property
    def passes(self) -> float:
        """Forward passes of all attacks for each image, roughly: a gradient counts as two, and half the images break.

        Attacks of few images and those that the effort adds to `black_box` are left out.

        Example:
            >>> Plan(effort="quick").passes
            581.5
        """
        gradients = 10 * self.pgd_steps + 2 * self.steps
        return 3 * gradients + (173 + self.queries) / 2  # 173: random noise and radial probes

    def black_box(self, norm: str) -> list[tuple[str, int]]:
        """Return the black-box attacks, each with the number of images nearest to the boundary; 0: all unbroken ones.

        Example:
            >>> Plan(effort="quick").black_box("linf")
            [('noise', 0), ('radial-probes', 0), ('square(queries=150)', 0)]
        """
        always = [("noise", 0), ("radial-probes", 0), (f"square(queries={self.queries})", 0)]
        if self.effort == "quick":
            return always
        asked, images = (1000, 64) if self.effort == "standard" else (4000, 256)
        decisions = f"hop-skip-jump(queries={asked})"
        longer = [("square(queries=5000)", 16)] if self.effort == "standard" else []
        return [*always, (decisions, images), (f"spsa(steps={asked // 50})", images), *longer]

    def large(self, shape: tuple[int, int, int]) -> float:
        """Return an epsilon at which no model is above chance: every pixel may become grey."""
        return 0.5 if self.threat.norm == "linf" else 0.5 * math.sqrt(math.prod(shape))
