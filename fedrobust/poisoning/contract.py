"""The contract of poisoning attacks, and their registry.

An attack is a frozen dataclass of settings that has one or more of these methods:

``data(images, labels, context)``
    returns the images and labels that a malicious client trains on.
``update(update, context)``
    returns the update that a malicious client sends instead of its own.
``collude(honest, context)``
    returns the updates of all malicious clients, given those of the honest ones: one update (d,), or one each.
``agree(honest, context)``
    returns the arrays, by name, that colluding clients keep from this round on. ``collude`` finds them in
    ``context.memory``, and so does ``agree`` in the next round in which they attack and which the server accepts. It
    is called before ``collude``. A study keeps them beside the server's own state, and in its checkpoints.
``training(context)``
    returns the settings of ``[training]`` that a malicious client changes.
``train(start, context)``
    returns the weights after the malicious client's local updates, which it makes itself with ``context.tools``
    (`fedrobust.poisoning.tools`); otherwise there is one on the poisoned images. With ``steers = True`` a mask may
    restrict the steps to some weights. With ``accompanies = "data"`` or ``"criterion"`` another part must
    have that method.
``claim(examples)``
    returns the number of images that a malicious client reports.
``claimed_loss(loss)``
    returns the training loss that a malicious client reports; ``loss`` is its own, NaN if it did not train.
``criterion(split, context)``
    returns the success criterion of a targeted attack: images, and the class that the attacker wants each of them to
    be classified as. With the attribute ``targeted = False`` the attack counts as untargeted.
``require(problem, image_size)``
    raises ValueError where the attack does not fit the images, their classes, or the network's image size.
``fits_layout(layout)``
    raises SpecError where the attack does not fit the weights that are trained (`fedrobust.models.layout.Layout`).
``remarks(context)``
    returns warnings that the user sees before the study begins.
``prepare(context)``
    returns the arrays, by name, that a malicious client keeps from this round on; the other methods find them in
    ``context.memory.own``, and so does ``prepare`` in the client's next round. It is called first in each round.

Class attributes that decide whether it can be combined with others (``"pixel-backdoor + scaling"``), see
`fedrobust.poisoning.sums`:

``trains = False``
    malicious clients do not train.
``discards_training = True``
    the trained weights do not enter the update.
``replaces = True``
    its ``update`` ignores its argument.
``final = True``
    a later ``update`` has no effect on its result.
``refused = True``
    the server rejects its replies.
``uses_own = True``
    its ``collude`` depends on the malicious clients' own updates (``context.own``).

``probes = True``
    its ``collude`` tries the server's defence (``context.outcome``, ``context.step``).

``adapts = True``
    its success criterion depends on what a malicious client remembers, such as a trigger that it learns.

``is_control = True``
    it poisons nothing on purpose, as the control of another attack; others that change nothing are refused.

``keeps = ("weights", "update")``
    a malicious client keeps the global weights that it was sent, or the update that it sent, also in rounds in which it
    is honest; see `fedrobust.poisoning.memory`, which says where.

An attack with the setting ``statistics = "same"`` is applied to BatchNorm statistics as to weights.
"""

from typing import Any, Protocol

from fedrobust.registry import Registry

POISONING = Registry("poisoning attack", "fedrobust.poisoning")


class Problem(Protocol):
    """The data set's properties that attacks depend on."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images."""
        ...

    @property
    def classes(self) -> int:
        """Number of classes."""
        ...


def name_of(part: Any) -> str:
    """Return the registered name of an attack, else the name of its class."""
    kind = type(part)
    return next((name for name, member in POISONING.members.items() if member is kind), kind.__name__)


def require_class(part: Any, setting: str, problem: Problem) -> None:
    """Refuse a class number that the data set does not have.

    Args:
        part: an attack.
        setting: name of its setting that holds the number.
        problem: the data set's properties.

    Raises:
        ValueError: the number is not from 0 to classes - 1.
    """
    number = getattr(part, setting)
    if not 0 <= number < problem.classes:
        raise ValueError(f"{setting} = {number}: the data set has classes 0 to {problem.classes - 1}")
