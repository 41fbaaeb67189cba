"""The section on what a run cost: time, messages, memory, and the audit's queries."""

from fedrobust.report import wording
from fedrobust.report.folder import Run


def cost(run: Run) -> list[tuple[str, str]]:
    """Return (name, value) pairs; what was not measured is left out."""
    rounds = [one.record for one in run.rounds if one.number > 0]
    training = [one.training_seconds for one in rounds if one.training_seconds is not None]
    cores = run.record.environment.get("cores")
    found = []
    if run.record.seconds is not None:
        where = f" on {wording.count(cores, 'core')}" if isinstance(cores, int) else ""
        found.append(("Whole run", wording.duration(run.record.seconds) + where))
    if training:
        mean = wording.duration(sum(training) / len(training))
        found.append(("Training", f"{wording.duration(sum(training))}, {mean} a round"))
    found += _messages(run)
    forecast = run.record.forecast
    if forecast:
        found.append(("Memory", f"at most {wording.size_in_bytes(forecast.memory_bytes)}, as forecast"))
    for name, record in (
        ("Audit", run.record.audit),
        ("Audit of the student", run.record.student.audit if run.record.student else None),
    ):
        if record and record.cost:
            spent = (
                f"{record.cost.queries:,} queries and {record.cost.gradients:,} gradients of single images"
            )
            found.append((name, f"{spent}, {wording.duration(record.cost.seconds)}"))
    student = run.record.student
    if student and student.distillation.seconds is not None:
        found.append(("Distillation", wording.duration(student.distillation.seconds)))
    return found


def _messages(run: Run) -> list[tuple[str, str]]:
    """Return the volume of the messages: the model to every sampled client, and back from those that replied."""
    if run.record.forecast is None:
        return []
    clients = [one.record.clients for one in run.rounds if one.number > 0]
    sent, back = (sum(getattr(one, kind) or 0 for one in clients) for kind in ("sampled", "trained"))
    size = run.record.forecast.message_bytes
    total = wording.size_in_bytes(size * (sent + back))
    return [
        ("Messages", f"{total}: {sent:,} to clients and {back:,} back, {wording.size_in_bytes(size)} each")
    ]
