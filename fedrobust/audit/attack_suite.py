"""The attacks of an audit, the robust images at epsilon, and the attack that broke each other image."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedrobust.audit.attack_cache import AttackCache
from fedrobust.audit.result import Result
from fedrobust.evasion import Threat, Transfer
from fedrobust.evasion.models.bound import through_roundings
from fedrobust.evasion.models.protocol import Logits, margins

NOBODY = "standing"


@dataclass(frozen=True, eq=False)
class AttackSuite:
    """All attacks of an audit within its threat model, and the worst case over them.

    Attributes:
        cache: runs the attacks.
    """

    cache: AttackCache

    @property
    def epsilon(self) -> float:
        """The epsilon of the verdict."""
        return self.cache.plan.value

    @property
    def steps(self) -> int:
        """Steps of PGD."""
        return self.cache.plan.pgd_steps

    @property
    def plain(self) -> str:
        """The PGD that is also run on other models."""
        return self.cache.plan.pgd(self.steps)

    @cached_property
    def single_step(self) -> Result:
        """FGSM without a random start, for every epsilon of the curve."""
        return self.cache.run("fgsm", self.cache.plan.values)

    @cached_property
    def textbook(self) -> Result:
        """PGD on cross-entropy as in textbooks, whose gradient may underflow."""
        return self.cache.run(self.cache.plan.pgd(self.steps, "loss='cross-entropy'"))

    @cached_property
    def margin(self) -> Result:
        """PGD on the margin loss, whose gradient does not underflow."""
        return self.cache.run(self.cache.plan.pgd(self.steps, "loss='margin'"))

    @cached_property
    def pgd(self) -> Result:
        """PGD on numerically stable cross-entropy."""
        return self.cache.run(self.plain)

    @cached_property
    def longer(self) -> Result:
        """`pgd` with twice the steps."""
        return self.cache.run(self.cache.plan.pgd(2 * self.steps))

    @cached_property
    def restarted(self) -> Result:
        """`pgd` with five more restarts."""
        return self.cache.run(self.cache.plan.pgd(self.steps, "restarts=6"))

    @cached_property
    def curve(self) -> Result:
        """PGD for every epsilon of the curve, independently of the others."""
        return self.cache.run(self.plain, self.cache.plan.values, nested=False)

    @cached_property
    def unbounded(self) -> Result:
        """PGD at an epsilon at which every pixel may become grey."""
        return self.cache.run(self.plain, [self.cache.plan.large(self.cache.audited.target.shape)])

    @cached_property
    def gradient_attacks(self) -> list[Result]:
        """Attacks along the model's gradients; those of the ensemble on the images that the others did not break."""
        if not self.cache.differentiable:
            return []
        found = [
            self.single_step,
            self.textbook,
            self.margin,
            self.pgd,
            self.curve,
            self.longer,
            self.restarted,
        ]
        steps = self.cache.plan.steps
        # With two classes the targeted attack equals a second start on the margin loss.
        names = ["apgd-ce", "apgd-dlr", "apgd-t"]
        if self.cache.plan.effort != "quick":
            names.append("apgd-focused")
        parts = [f"{name}(steps={steps})" for name in names]
        for part in parts:
            found.append(self.cache.run(part, rows=self._standing(found)))
        return found

    @cached_property
    def after_gradients(self) -> NDArray[np.bool_]:
        """The mask of images robust to the gradient attacks, (n,)."""
        return self._standing(self.gradient_attacks)

    @cached_property
    def substituted(self) -> list[Result]:
        """PGD along substitute gradients (BPDA), on the images robust to the gradient attacks.

        Empty if no operation of the model has a substitute.
        """
        if self.cache.substituted is None:
            return []
        target, _ = self.cache.substituted
        spec, of = self.cache.plan.pgd(2 * self.steps, "loss='margin'"), "gradient masking: BPDA breaks more"
        found = [self.cache.run(spec, target=target, of=of, rows=self.after_gradients)]
        if self.cache.softened is not None:
            longest = self.cache.plan.pgd(4 * self.steps, "loss='margin', restarts=3")
            for each in (spec, f"apgd-ce(steps={2 * self.cache.plan.steps})", longest):
                rows = self._standing([*self.gradient_attacks, *found])
                found.append(
                    self.cache.run(each, target=self.cache.softened, of="BPDA, soft rounding", rows=rows)
                )
        return found

    @cached_property
    def hidden_layer_attacks(self) -> list[Result]:
        """PGD along read-outs of hidden layers with other gradients, on the images robust so far."""
        if self.cache.plan.effort == "quick":
            return []
        found: list[Result] = []
        for readout in self.cache.hidden_layers:
            rows = self._standing([*self.gradient_attacks, *self.substituted, *found])
            spec = self.cache.plan.pgd(2 * self.steps, "loss='margin'")
            found.append(self.cache.run(spec, target=readout.target, of=f"below {readout.name}", rows=rows))
        return found

    @cached_property
    def smoothed(self) -> list[Result]:
        """PGD along gradients averaged over noisy copies, on the images robust so far."""
        if self.cache.plan.effort == "quick" or not self.cache.differentiable:
            return []
        rows = self._standing([*self.gradient_attacks, *self.substituted, *self.hidden_layer_attacks])
        return [self.cache.run(f"smoothed-pgd(steps={self.steps})", rows=rows)]

    @property
    def adaptive_attacks(self) -> list[Result]:
        """The attacks against gradient masking: along gradients other than the model's."""
        return [*self.substituted, *self.hidden_layer_attacks, *self.smoothed]

    @cached_property
    def after_white_box(self) -> NDArray[np.bool_]:
        """The mask of images robust to all white-box attacks, (n,)."""
        return self._standing([*self.gradient_attacks, *self.adaptive_attacks])

    @cached_property
    def black_box(self) -> list[Result]:
        """Black-box attacks, on the images robust to all white-box attacks.

        The most expensive ones are restricted to the images nearest to the decision boundary.
        """
        plan = self.cache.plan
        found: list[Result] = []
        for spec, most in plan.black_box(self.cache.plan.threat.norm):
            rows = self._standing([*self.gradient_attacks, *self.adaptive_attacks, *found])
            found.append(self.cache.run(spec, rows=self._nearest(rows, most, found)))
        return found

    @cached_property
    def transferred(self) -> list[Result]:
        """Transfer attacks from other models, on the images robust to all white-box attacks."""
        audited = self.cache.audited
        others = [one for one in (audited.control, audited.teacher) if one is not None]
        surrogates = {name: Transfer(surrogate=through_roundings(target)) for name, target in others}
        found = [
            self.cache.run(attack, of=f"transfer from {name}", rows=self.after_white_box)
            for name, attack in surrogates.items()
        ]
        if self.cache.plan.effort != "quick" or not self.cache.differentiable:
            found.append(self.cache.run("transfer", rows=self.after_white_box))
        return found

    @property
    def attacks(self) -> list[Result]:
        """All attacks within the threat model; a broken image is attributed to the first that breaks it."""
        return [*self.gradient_attacks, *self.adaptive_attacks, *self.black_box, *self.transferred]

    @cached_property
    def broken_by(self) -> NDArray[np.str_]:
        """The first attack that broke each image, (n,); "clean": misclassified without attack, "standing": robust."""
        n = len(self.cache.audited)
        by = np.where(self.cache.right, NOBODY, "clean").astype("<U120")
        for result in self.attacks:
            new = result.broken(self.epsilon, n) & (by == NOBODY)
            by[new] = result.name
        return by

    @cached_property
    def standing(self) -> NDArray[np.bool_]:
        """The mask of images that are classified correctly under every attack, (n,)."""
        return self.broken_by == NOBODY

    @cached_property
    def worst_logits(self) -> Logits:
        """The logits of the worst case of each image, (n, classes)."""
        return self._worst(self.attacks)

    def _worst(self, results: list[Result]) -> Logits:
        logits = self.cache.clean.copy()
        undecided = np.ones(len(logits), bool)
        for result in results:
            rows = result.rows
            for place in range(result.epsilons.index(self.epsilon) + 1):
                answers, broken = result.logits[place], result.success[place]
                gap = margins(answers, self.cache.audited.labels[rows])
                old = margins(logits[rows], self.cache.audited.labels[rows])
                better = undecided[rows] & (broken | (gap > old))
                logits[rows[better]] = answers[better]
                undecided[rows[broken]] = False
        return logits

    def _nearest(self, rows: NDArray[np.bool_], most: int, found: list[Result]) -> NDArray[np.bool_]:
        """Return the mask of the `most` images with the smallest margin under attack; 0: of all."""
        if not most or rows.sum() <= most:
            return rows
        worst = self._worst([*self.gradient_attacks, *self.adaptive_attacks, *found])
        gap = np.where(rows, margins(worst, self.cache.audited.labels), -np.inf)
        chosen = np.zeros(len(rows), bool)
        chosen[np.argsort(-gap, kind="stable")[:most]] = True
        return chosen

    def eight_bit(self) -> Result:
        """PGD with 8-bit adversarial images."""
        threat = self.cache.plan.threat
        stored = Threat(norm=threat.norm, space=threat.space, bits=8, tied=threat.tied)
        return self.cache.run(self.plain, of="8-bit", threat=stored)

    def _standing(self, results: list[Result]) -> NDArray[np.bool_]:
        standing = self.cache.right.copy()
        for result in results:
            standing &= ~result.broken(self.epsilon, len(standing))
        return standing


def broken_images(suite: AttackSuite, result: Result) -> NDArray[np.bool_]:
    """Return the mask of images that one of a suite's attacks broke at the verdict's epsilon, (n,)."""
    return result.broken(suite.epsilon, len(suite.cache.audited))
