"""What a user tells of a foreign model: its images, the order of its classes, its output."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedrobust.epsilon import shortened
from fedrobust.errors import ConfigError
from fedrobust.models.input_format import UNIT, InputFormat


@dataclass(frozen=True)
class Interface:
    """How to speak to a model; what is not told is recognised from the model, or is as the data have it.

    Attributes:
        input: the images that it takes; None: as its first layers show, else images in [0, 1].
        labels: the data's label that each of its outputs stands for; empty: the data's order.
        head: name or number (from 0) of the output to attack, of a model with several; empty: the one that fits.
    """

    input: InputFormat | None = None
    labels: tuple[int, ...] = ()
    head: str = ""
    assumed: InputFormat = UNIT
    """What to give it where nothing is told and it shows nothing."""

    @classmethod
    def parse(
        cls, input: str = "", labels: str = "", head: str = "", classes: int = 2, names: Sequence[str] = ()
    ) -> "Interface":
        """Return what these texts tell of a model of data with `classes` labels named `names`.

        Raises:
            ConfigError: one of them cannot be read, or does not fit the data.

        Example:
            >>> Interface.parse("0..255", "disease, normal", names=("normal", "disease")).labels
            (1, 0)
        """
        return cls(
            InputFormat.parse(input) if input.strip() else None,
            class_order(labels, classes, names) if labels.strip() else (),
            head.strip(),
        )


TELLS_NOTHING = Interface()


def class_order(text: str, classes: int, names: Sequence[str] = ()) -> tuple[int, ...]:
    """Return the data's label of each of a model's outputs.

    Args:
        text: numbers or names, separated by commas.
        classes: of the data.
        names: of the data's labels.

    Raises:
        ConfigError: it does not name every label once.

    Example:
        >>> class_order("2, 0, 1", 3)
        (2, 0, 1)
        >>> class_order("1,1", 2)
        Traceback (most recent call last):
        fedrobust.errors.ConfigError: labels = '1,1': name each of the data's 2 labels once, in the order of the \
model's outputs, separated by commas: numbers 0 to 1
    """
    numbers = {str(number): number for number in range(classes)}
    known = {**{str(name).strip().casefold(): number for number, name in enumerate(names)}, **numbers}
    order = tuple(known.get(part.strip().casefold(), -1) for part in _parts(text, names))
    if sorted(order) != list(range(classes)):
        named = f", or {', '.join(map(repr, names))}" if names else ""
        raise ConfigError(
            f"labels = {shortened(text)}: name each of the data's {classes} labels once, in the order of the model's "
            f"outputs, separated by commas: numbers 0 to {classes - 1}{named}"
        )
    return order


def _parts(text: str, names: Sequence[str]) -> list[str]:
    """Return the parts between commas; those within a name of the data's own (or semicolons, if any) are none."""
    if ";" in text or any("," in str(name) for name in names if str(name) in text):
        return text.strip(" ;").split(";")
    return text.strip(" ,").split(",")
