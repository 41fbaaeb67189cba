"""Promises of privacy in words, for terminal, doctor and report."""

from fedrobust.runs.record import PrivacyRecord, PromiseRecord

WHO = {"client": "each client, with all of its images", "image": "each image of a client"}
SECURE = (
    "secure aggregation is simulated: the server uses only sums of updates, but no cryptography hides them"
)
WHERE = {
    "server": "noise is added by the server, which sees the updates",
    "distributed": "noise is added in shares by the clients; an honest one is protected while all others reply",
    "local": "noise is added by each client, which need not trust the server",
    "step": "noise is added in every step of a client's training, which need not trust the server",
}


def headline(promise: PromiseRecord) -> str:
    """Return epsilon, delta and unit of a promise.

    Example:
        >>> headline(PromiseRecord(unit="client", epsilon=7.9412, delta=0.001))
        'epsilon 7.94 at delta 0.001 for each client, with all of its images'
        >>> headline(PromiseRecord(unit="client", mechanism="gaussian-dp(clip=1)"))
        'nothing is promised: gaussian-dp(clip=1) has no noise'
    """
    if promise.epsilon is None:
        return f"nothing is promised: {promise.mechanism} has no noise"
    worst = ", at the client where it is largest" if promise.clients and len(set_of(promise)) > 1 else ""
    return f"epsilon {promise.epsilon:.3g} at delta {promise.delta:g} for {WHO[promise.unit]}{worst}"


def set_of(promise: PromiseRecord) -> set[str]:
    """Return the different epsilons of a promise's clients, as they are shown."""
    return {f"{one.epsilon or 0:.3g}" for one in promise.clients or ()}


def bounds(promise: PromiseRecord) -> str:
    """Return what the epsilon rests on: bounds, sampling, neighbours, place of the noise."""
    sampled = {
        "all": "all in every release",
        "poisson": f"each with probability {promise.rate:.3g}",
        "without-replacement": f"a fixed number drawn, {100 * promise.rate:.3g} %",
    }[promise.sampling]
    shown = [f"{promise.releases:,} {'rounds' if promise.unit == 'client' else 'steps'}, {sampled}"]
    for name, value in (("RDP", promise.epsilon_rdp), ("PLD", promise.epsilon_pld)):
        shown += [] if value is None else [f"{name} {value:.4g}"]
    shown += [f"neighbours: {promise.adjacency}", WHERE[promise.noise]]
    return "; ".join(shown)


def told(privacy: PrivacyRecord | None) -> tuple[str, ...]:
    """Return what is promised about privacy before the first round, in sentences."""
    if privacy is None:
        return ()
    said = [f"{headline(one)} ({one.mechanism}; {bounds(one)})" for one in privacy.promises]
    if any(one.epsilon is not None for one in privacy.promises):
        said.append(
            "clients send neither BatchNorm statistics nor training losses, which no noise would protect; not covered: "
            + "; ".join(privacy.not_covered)
        )
    if privacy.secure_aggregation:
        said.append(SECURE)
    return tuple(said)


def rows_of(privacy: PrivacyRecord | None) -> list[tuple[str, str]]:
    """Return what is promised as rows of the doctor's table."""
    rows = []
    for one in privacy.promises if privacy else ():
        release = "round" if one.unit == "client" else "step"
        rows += [("privacy", headline(one)), ("its bounds", bounds(one))]
        if one.noise_to_clip is not None:
            rows.append(
                ("noise", f"{one.noise_to_clip:.3g} times the clipping norm, in the mean of a {release}")
            )
    return rows
