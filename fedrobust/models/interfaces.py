"""The declared interfaces of an audit's models: of the model itself, and of its companions."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fedrobust.data.dataset import Dataset
from fedrobust.errors import ConfigError
from fedrobust.models.input_format import InputFormat
from fedrobust.models.interface import Interface

COMPANIONS = ("control", "teacher", "edge", "surrogate")

Texts = str | Iterable[str] | Mapping[str, str]
"""One text for the model; a list, with "control=..." for a companion; or a mapping by companion, "" for the model."""


@dataclass(frozen=True)
class Interfaces:
    """Input formats, class orders and output heads as texts by companion; "" is the model itself.

    Attributes:
        input: input formats, see `InputFormat.parse`.
        labels: class orders, see `class_order`.
        head: names or numbers of outputs.
    """

    input: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    head: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, input: Texts = "", labels: Texts = "", head: Texts = "") -> "Interfaces":
        """Return the interfaces that these texts declare.

        Raises:
            ConfigError: a text cannot be read.

        Example:
            >>> Interfaces.parse(["0..255", "control=0..1"], "1,0").input
            {'': '0..255', 'control': '0..1'}
        """
        interfaces = cls(
            by_companion("input", input), by_companion("labels", labels), by_companion("head", head)
        )
        for text in interfaces.input.values():
            InputFormat.parse(text)
        return interfaces

    def of(self, what: str, dataset: Dataset) -> Interface:
        """Return the interface of the model (`what` is "") or of a companion.

        A companion without a declaration has the model's class order, and the model's input format unless its own
        layers show another one.

        Raises:
            ConfigError: a class order does not fit the data's classes.
        """
        labels = self.labels.get(what, self.labels.get("", ""))
        found = Interface.parse(
            self.input.get(what, ""), labels, self.head.get(what, ""), dataset.classes, dataset.label_names
        )
        shared = self.input.get("", "")
        if not shared:
            return found
        return Interface(found.input, found.labels, found.head, InputFormat.parse(shared))

    @property
    def text(self) -> str:
        """The texts as one, "" if nothing is declared."""
        return json.dumps(self.to_json(), sort_keys=True) if self != NONE_DECLARED else ""

    def to_json(self) -> dict[str, dict[str, str]]:
        """Return the texts as plain data."""
        return {"input": dict(self.input), "labels": dict(self.labels), "head": dict(self.head)}


NONE_DECLARED = Interfaces()


def by_companion(setting: str, texts: Texts) -> dict[str, str]:
    """Return texts by companion; "" is the model.

    Raises:
        ConfigError: a model has two texts, or a companion is unknown.

    Example:
        >>> by_companion("head", ["edge=1", "diagnosis"])
        {'edge': '1', '': 'diagnosis'}
    """
    pairs: list[tuple[str, str]]
    if isinstance(texts, Mapping):
        pairs = [(str(what), str(text)) for what, text in texts.items()]
    else:
        pairs = [_split(text) for text in ([texts] if isinstance(texts, str) else texts)]
    found: dict[str, str] = {}
    for what, text in pairs:
        what = "" if what == "model" else what
        if what not in ("", *COMPANIONS):
            raise ConfigError(f"{setting}: {what!r} is no companion; choose one of {', '.join(COMPANIONS)}")
        if what in found:
            raise ConfigError(f"{setting}: given twice for {what or 'the model'}")
        if text.strip():
            found[what] = text
    return found


def _split(text: str) -> tuple[str, str]:
    what, equals, rest = text.partition("=")
    is_companion = equals and what.strip().casefold() in COMPANIONS
    return (what.strip().casefold(), rest) if is_companion else ("", text)
