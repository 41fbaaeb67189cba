"""What a user tells of the models of one audit: of the model itself, and of those that it is compared with."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fedrobust.data.dataset import Dataset
from fedrobust.errors import ConfigError
from fedrobust.models.input_format import InputFormat
from fedrobust.models.interface import Interface

COMPANIONS = ("control", "teacher", "edge")

Texts = str | Iterable[str] | Mapping[str, str]
"""A text for the model; or several, those for companions as "control=..."; or texts by companion, "" for the model."""


@dataclass(frozen=True)
class Told:
    """Images, class orders and outputs, as texts by companion; "" is the model itself.

    Attributes:
        input: see `InputFormat.parse`.
        labels: see `class_order`.
        head: name or number of an output.
    """

    input: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    head: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, input: Texts = "", labels: Texts = "", head: Texts = "") -> "Told":
        """Return what these texts tell.

        Raises:
            ConfigError: one of them cannot be read.

        Example:
            >>> Told.parse(["0..255", "control=0..1"], "1,0").input
            {'': '0..255', 'control': '0..1'}
        """
        told = cls(by_companion("input", input), by_companion("labels", labels), by_companion("head", head))
        for text in told.input.values():
            InputFormat.parse(text)
        return told

    def of(self, what: str, dataset: Dataset) -> Interface:
        """Return what is told of the model (`what` is "") or of a companion.

        A companion has the model's class order, and is given the model's images where its own layers show nothing,
        unless it is told otherwise.

        Raises:
            ConfigError: it does not fit the data.
        """
        labels = self.labels.get(what, self.labels.get("", ""))
        found = Interface.parse(
            self.input.get(what, ""), labels, self.head.get(what, ""), dataset.classes, dataset.label_names
        )
        shared = self.input.get("", "")
        if not shared:
            return found
        return Interface(found.input, found.labels, found.head, InputFormat.parse(shared))

    def to_json(self) -> dict[str, dict[str, str]]:
        """Return everything told as plain data."""
        return {"input": dict(self.input), "labels": dict(self.labels), "head": dict(self.head)}


NOTHING_TOLD = Told()


def by_companion(setting: str, texts: Texts) -> dict[str, str]:
    """Return texts by companion; "" is the model.

    Raises:
        ConfigError: there are two for one, or a companion is unknown.

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
