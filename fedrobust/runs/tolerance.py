"""The f of a defence, the tolerated number of malicious clients, as text."""

from fedrobust.runs.record import RunRecord, ToleranceRecord


def described(tolerance: ToleranceRecord | None) -> str:
    """Return a rule's f, its source, and the probability of more malicious clients in a round, as text.

    Args:
        tolerance: of ``result.json``.

    Returns:
        "" for runs without a record of it, and for rules without f.

    Example:
        >>> described(ToleranceRecord(clients=2, source="given", malicious=2, probability_of_more=0.0))
        'The rule is given 2 malicious clients to tolerate, by the study. No round samples more.'
        >>> described(ToleranceRecord(clients=1, source="truth", malicious=2, probability_of_more=0.26))[-62:]
        'has. More are sampled in a round with a probability of 26.0 %.'
    """
    if not tolerance or not tolerance.given or not tolerance.malicious:
        return ""
    by = "by the study"
    if tolerance.source == "truth" and tolerance.quantile is not None:
        quantile = 100 * tolerance.quantile
        by = f"the {quantile:g} % quantile of the true number in a round: an oracle, which no real server has"
    elif tolerance.source == "truth":
        by = "the true number: an oracle, which no real server has"
    clients = "malicious client" if tolerance.clients == 1 else "malicious clients"
    return f"The rule is given {tolerance.clients} {clients} to tolerate, {by}.{_more(tolerance.probability_of_more)}"


def _more(probability: float | None) -> str:
    if probability is None:
        return ""
    if probability > 0:
        return f" More are sampled in a round with a probability of {100 * probability:.1f} %."
    return " No round samples more."


def described_in(run: RunRecord) -> str:
    """Return the same of a run; for older runs, derived from their settings.

    Example:
        >>> rounds = [{"round": 1, "defence": {"tolerated": 3}}]
        >>> described_in(RunRecord.read({"schema": 1, "experiment": {"federation": {}}, "rounds": rounds}))
        'The rule is given 3 malicious clients to tolerate, the true number: an oracle, which no real server has. How \
often a round samples more was not recorded.'
    """
    if run.tolerance is not None:
        return described(run.tolerance)
    numbers = [one.defence.tolerated for one in run.rounds if one.defence]
    known = [number for number in numbers if number is not None]
    if not known:
        return ""
    source = "truth" if is_oracle(run) else "given"
    words = described(ToleranceRecord(clients=known[0], source=source, malicious=known[0]))
    return f"{words} How often a round samples more was not recorded." if words else ""


def is_oracle(run: RunRecord) -> bool:
    """Return whether the defence of a run was given the true number of malicious clients."""
    if run.tolerance is not None:
        return run.tolerance.oracle
    told_f = any(one.defence.tolerated for one in run.rounds if one.defence)
    return told_f and run.section("federation").get("tolerate") is None
