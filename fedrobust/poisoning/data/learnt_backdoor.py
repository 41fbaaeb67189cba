"""Backdoors whose trigger malicious clients learn, and what their success is compared with."""

from dataclasses import dataclass, replace

from fedrobust.data.dataset import Split
from fedrobust.poisoning.context import AttackContext, SuccessCriterion
from fedrobust.poisoning.data.backdoor import Backdoor


@dataclass(frozen=True, kw_only=True)
class LearntBackdoor(Backdoor):
    """A backdoor whose trigger is learnt against the global model.

    What is learnt against a model may fool it though nobody poisoned it, as any adversarial example does: its success
    needs the control, ``share=0``, which learns the trigger, too.

    Attributes:
        target: the target class.
        share: share of a malicious client's images of other classes that get the trigger; 0: the control.
    """

    adapts = True

    def criterion(self, split: Split, context: AttackContext) -> SuccessCriterion | None:
        """Return the images of other classes with the trigger, and the target class; None if there are none."""
        found = super().criterion(split, context)
        if found is None or self.is_control:
            return found
        return replace(found, control=f"{found.control}, and the same attack with share=0")

    def remarks(self, context: AttackContext) -> list[str]:
        """Return what the success rate counts, and its control."""
        if self.is_control:
            return super().remarks(context)
        return [
            "the trigger is learnt against the global model: the attack success rate counts what it would fool without "
            "a backdoor, too; the same attack with share=0 measures that"
        ]
