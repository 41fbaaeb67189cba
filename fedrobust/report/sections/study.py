"""The line of facts at the top of the page, and the section on the data."""

from fedrobust.report import wording
from fedrobust.report.folder import Run


def facts(run: Run) -> list[str]:
    """Return short texts on date, data, model and time."""
    model, seconds = run.model, run.record.seconds
    found = [str(run.record.environment["date"])] if "date" in run.record.environment else []
    found += [run.dataset.name] if run.dataset.name else []
    if model.name:
        found.append(f"{model.name}, {model.parameters:,} parameters" if model.parameters else model.name)
    if model.weights:
        found.append(f"{model.weights} initial weights")
    if seconds is not None:
        found.append(f"ran {wording.duration(seconds)}")
    return found


def data(run: Run) -> list[tuple[str, str]]:
    """Return (name, value) pairs on the data set."""
    dataset = run.dataset
    named = {
        "Name": dataset.name,
        "Task": dataset.task,
        "Source": dataset.source,
        "Licence": dataset.licence,
        "Digest": dataset.digest,
        "Images": " × ".join(str(length) for length in dataset.image_shape),
    }
    found = [(name, text) for name, text in named.items() if text]
    for split, total in dataset.samples.items():
        counts = dataset.counts.get(split, ())
        classes = ", ".join(f"{number:,} {run.label(index)}" for index, number in enumerate(counts))
        found.append((f"{split.capitalize()} set", f"{total:,}" + (f" ({classes})" if classes else "")))
    return found
