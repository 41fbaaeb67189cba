"""One field of a heatmap."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tile:
    """One field of a heatmap: its text, the notes below it, and its goodness from 0 to 1 (None: no colour)."""

    text: str
    notes: tuple[str, ...] = ()
    good: float | None = None

    @property
    def style(self) -> str:
        """The background colour, from orange (bad) over white to blue (good)."""
        if self.good is None:
            return ""
        good = min(1.0, max(0.0, self.good))
        colour, strength = ("--blue", 2 * good - 1) if good >= 0.5 else ("--wrong", 1 - 2 * good)
        return f"background: color-mix(in srgb, var({colour}) {50 * strength:.0f}%, var(--paper))"
