"""The declared interface of a user's model: input format, class order, output head."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedrobust.epsilon import shortened
from fedrobust.errors import ConfigError
from fedrobust.models.input_format import UNIT, InputFormat


@dataclass(frozen=True)
class Interface:
    """Input format, class order and output head of a model; what is not declared is recognised or assumed.

    Attributes:
        input: its input format; None: recognised from its first layers, else `assumed`.
        labels: the data's label of each of its outputs; empty: the data's order.
        head: name or number (from 0) of one of several outputs; empty: the one with the data's number of classes.
    """

    input: InputFormat | None = None
    labels: tuple[int, ...] = ()
    head: str = ""
    assumed: InputFormat = UNIT
    """The input format where none is declared and none is recognised."""

    @classmethod
    def parse(
        cls, input: str = "", labels: str = "", head: str = "", classes: int = 2, names: Sequence[str] = ()
    ) -> "Interface":
        """Return the interface that these texts declare.

        Args:
            input: input format, see `InputFormat.parse`; empty: not declared.
            labels: class order, see `class_order`; empty: not declared.
            head: name or number of the output; empty: not declared.
            classes: number of the data's classes.
            names: names of the data's labels.

        Raises:
            ConfigError: a text cannot be read, or does not fit the data.

        Example:
            >>> Interface.parse("0..255", "disease, normal", names=("normal", "disease")).labels
            (1, 0)
        """
        return cls(
            InputFormat.parse(input) if input.strip() else None,
            class_order(labels, classes, names) if labels.strip() else (),
            head.strip(),
        )


UNDECLARED = Interface()


def class_order(text: str, classes: int, names: Sequence[str] = ()) -> tuple[int, ...]:
    """Return the data's label of each of a model's outputs.

    Args:
        text: numbers or names of labels, separated by commas.
        classes: number of the data's classes.
        names: names of the data's labels.

    Raises:
        ConfigError: the text does not name every label exactly once.

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
        between = "semicolons" if any("," in str(name) for name in names) else "commas"
        raise ConfigError(
            f"labels = {shortened(text)}: name each of the data's {classes} labels once, in the order of the model's "
            f"outputs, separated by {between}: numbers 0 to {classes - 1}{named}"
        )
    return order


def _parts(text: str, names: Sequence[str]) -> list[str]:
    """Return the parts between commas, or between semicolons where a name contains a comma."""
    if ";" in text or any("," in str(name) for name in names if str(name) in text):
        return text.strip(" ;").split(";")
    return text.strip(" ,").split(",")
