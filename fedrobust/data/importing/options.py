"""Options of an import."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from fedrobust.data.conversion import FITS
from fedrobust.data.dataset import DataError
from fedrobust.registry import did_you_mean

CHOICES = {
    "fit": FITS,
    "colour": ("auto", "grey", "rgb"),
    "duplicates": ("move", "exact", "refuse", "keep"),
}


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """How images become a data set.

    Args:
        size: height and width of every image in pixels.
        fit: "pad": the whole image, centred on black; "crop": the largest centred square.
        colour: "grey", "rgb", or "auto": RGB if any image has colour.
        splits: shares of train, val and test, of the images that have no split yet; they may be percentages.
        seed: draws the splits and the images of the picture sheet.
        window: values that become black and white, of pixels deeper than 8 bits; None: see `fedrobust.data.importing`.
        classes: names of the classes in the order of their labels, or a text of them (`names_in`); empty: all that
            occur, sorted.
        disease: names of the classes that mean disease, or a text of them.
        duplicates: what happens to an image that occurs in two splits, exactly or nearly: "move" both into one
            split; "exact": only exact ones; "refuse" the import; or "keep" them, which flatters test figures.
        unreadable: largest share of images that may be unreadable and are left out.

    Raises:
        DataError: an option has another value.

    Example:
        >>> ImportOptions(splits=(70, 10, 20)).shares
        (0.7, 0.1, 0.2)
        >>> ImportOptions(fit="stretch")
        Traceback (most recent call last):
        fedrobust.data.dataset.DataError: fit = 'stretch'; allowed: pad, crop
    """

    size: int = 224
    fit: str = "pad"
    colour: str = "auto"
    splits: tuple[float, float, float] = (70, 10, 20)
    seed: int = 0
    window: tuple[float, float] | None = None
    classes: tuple[str, ...] | str = ()
    disease: tuple[str, ...] | str = ()
    duplicates: str = "move"
    unreadable: float = 0.0

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise DataError(f"{name} = {getattr(self, name)!r}; allowed: {', '.join(allowed)}")
        if not 8 <= self.size <= 1024:
            raise DataError(
                f"size = {self.size}; allowed: 8 to 1024 pixels; models here are made for 28 to 224"
            )
        if self.seed < 0:
            raise DataError(f"seed = {self.seed}; allowed: 0 and above")
        if len(self.splits) != 3 or not all(share > 0 for share in self.splits):
            raise DataError(
                f"splits = {self.splits}; allowed: three numbers above 0, for train, validation and test, such as "
                "70/10/20"
            )
        if self.window is not None and not self.window[0] < self.window[1]:
            raise DataError(
                f"window = {self.window}; allowed: two numbers, black before white, such as -1000:400"
            )
        if not 0 <= self.unreadable < 1:
            raise DataError(
                f"unreadable = {self.unreadable}; allowed: a share from 0 to below 1, such as 0.02"
            )

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Return options given by name; lists become tuples.

        Raises:
            DataError: there is no such option, or it has another value.
        """
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                raise DataError(f"{name}: no option; allowed: {', '.join(known)}{did_you_mean(name, known)}")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in options.items()
        }
        try:
            return cls(**values)
        except TypeError as error:
            raise DataError(f"options of the import: {error}; see ImportOptions") from error

    @staticmethod
    def check_unused(source: str, **options: Any) -> None:
        """Refuse options that a source has no use for.

        Raises:
            DataError: one is given.
        """
        for name, value in options.items():
            if value:
                raise DataError(f"{name} = {value!r}: {source} has no use for it; leave it out")

    @property
    def shares(self) -> tuple[float, float, float]:
        """Shares of train, val and test, which sum to 1."""
        total = sum(self.splits)
        train, val, test = (share / total for share in self.splits)
        return train, val, test
