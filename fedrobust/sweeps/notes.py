"""The notes below the figures of a heatmap's tiles."""

from collections.abc import Callable, Sequence

from fedrobust.sweeps.row import Row


def count_of(group: Sequence[Row], images: str) -> str:
    """Return the numbers of test images and seeds of a field, as text."""
    size = size_of(group, images)
    seeds = f"{len(group)} seeds" if len(group) > 1 else "1 seed"
    return ", ".join(filter(None, (size, seeds)))


def size_of(group: Sequence[Row], images: str) -> str:
    """Return the number of test images of a field, as text; "" if it has none."""
    sizes = sorted({int(row.figures[images]) for row in group if images in row.figures})
    return f"n {sizes[0]:,}" if len(sizes) == 1 else f"n {sizes[0]:,} to {sizes[-1]:,}" if sizes else ""


def mean_note(
    group: Sequence[Row], figure: str, name: str, text: Callable[[float], str] = lambda value: f"{value:.0%}"
) -> str:
    """Return the mean of a metric over the cells of a field after its name, as text; "" if none has it."""
    values = [row.figures[figure] for row in group if figure in row.figures]
    return f"{name} {text(sum(values) / len(values))}".strip() if values else ""


def apart(group: Sequence[Row]) -> str:
    """Return the harm of the attack, or the cost of the rule without one, in points, as text."""
    notes = (
        mean_note(group, f"{name} balanced_accuracy", name, lambda value: f"{100 * value:+.1f}")
        for name in ("harm", "cost")
    )
    return ", ".join(filter(None, notes))


def rejected(group: Sequence[Row]) -> str:
    """Return the shares of rejected honest clients, of all and of those with unusual class mixes, as text."""
    notes = (
        mean_note(group, "false-positive-rate", "honest"),
        mean_note(group, "rare-false-positive-rate", "unusual"),
    )
    return ", ".join(filter(None, notes))


def outlasted(group: Sequence[Row]) -> str:
    """Return in how many cells the attack outlasted the run, as text."""
    count = sum(row.figures.get("durability censored") == 1 for row in group)
    return f"at least, in {count} of {len(group)}" if count else ""
