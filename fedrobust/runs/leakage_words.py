"""What attacks on privacy found, in sentences: for the terminal, the report and the card.

"Not attacked" and "no leak found" never become "private".
"""

from collections.abc import Sequence

from fedrobust.runs.record.leakage import (
    InversionRecord,
    LeakageRecord,
    MembershipRecord,
    PrivacyAuditRecord,
    PropertyRecord,
)

UNATTACKED = (
    "No attack on privacy was made: nothing is known of what the model and the updates give away. "
    "fedrobust leakage RUN makes them."
)

TARGETS = {
    "model": "this run",
    "shadows": "{} shadow federations",
    "clients": "updates of {} clients",
}

GOOD = 20.0
"""PSNR in dB from which a reconstruction of a 28-pixel image is recognisable."""


def target_of(one: MembershipRecord) -> str:
    """Return what a membership attack was made on."""
    return TARGETS.get(one.target, one.target).format(one.targets)


def leaks(one: MembershipRecord) -> bool:
    """Return whether an attack tells members better than guessing and than its control, at 95 %."""
    level = max(0.5, one.control_auc or 0.5)
    at_rates = any(
        rate.interval is not None and rate.interval[0] > rate.false_positive_rate for rate in one.rates
    )
    return one.interval[0] > level or (at_rates and one.control_auc is None)


def reconstructs(one: InversionRecord) -> bool:
    """Return whether an image was reconstructed: recognisable, and better than by the most similar other image."""
    pairs = zip(one.psnr, one.neighbour_psnr, strict=True)
    return any(psnr >= GOOD and psnr > neighbour for psnr, neighbour in pairs)


def tells(one: PropertyRecord) -> bool:
    """Return whether updates tell shares better than the constant answer, at 95 %."""
    return one.interval[0] > 0


def summary(found: LeakageRecord | None) -> tuple[str, ...]:
    """Return what was found, in sentences; first leaks, then attacks without success with their power."""
    if found is None:
        return (UNATTACKED,)
    told = [
        _refuted(one) if one.caught else _kept(one)
        for one in sorted(found.audits, key=lambda one: not one.caught)
    ]
    told += _membership(found.membership)
    told += _inversion(found.inversion)
    told += [_property(one) for one in found.property]
    told += [f"Not made: {one}." for one in found.skipped]
    kinds = {
        "membership of images": found.membership,
        "reconstruction of images from updates": found.inversion,
        "shares of a class at hospitals": found.property,
    }
    if unknown := [kind for kind, rows in kinds.items() if not rows]:
        told.append(f"Not attacked, and therefore unknown: {'; '.join(unknown)}.")
    if not any(map(leaks, found.membership)) and not any(map(reconstructs, found.inversion)):
        told.append(
            "Stronger attacks, more shadows or more knowledge may succeed: this is no proof of privacy."
        )
    return tuple(told)


def _membership(rows: Sequence[MembershipRecord]) -> list[str]:
    found = [one for one in rows if leaks(one)]
    told = []
    if found:
        best = max(found, key=lambda one: one.auc)
        rates = ", ".join(
            f"{rate.value:.1%} of members at {rate.false_positive_rate:.1%} false positives"
            for rate in best.rates
            if rate.value is not None
        )
        told.append(
            f"Leak: {best.attack} on {target_of(best)} tells images that were trained on from {best.others}: "
            f"AUC {best.auc:.3f} (95 %: {best.interval[0]:.3f}-{best.interval[1]:.3f})"
            + (f"; {rates}" if rates else "")
            + "."
        )
        if others := [
            f"{one.attack} on {target_of(one)} (AUC {one.auc:.3f})" for one in found if one is not best
        ]:
            told.append(f"Also better than guessing: {', '.join(others)}.")
    failed = [one for one in rows if not leaks(one)]
    if failed:
        power = max(failed, key=lambda one: (one.shadows, one.rates[0].others if one.rates else 0))
        names = ", ".join(dict.fromkeys(f"{one.attack} on {target_of(one)}" for one in failed))
        counted = (
            f"{power.rates[0].members} members and {power.rates[0].others} others"
            if power.rates
            else "few images"
        )
        told.append(f"No leak found by {names}, with up to {power.shadows} shadow federations, {counted}.")
    return told


def _inversion(rows: Sequence[InversionRecord]) -> list[str]:
    told = []
    for name in dict.fromkeys(one.attack for one in rows):
        its = [one for one in rows if one.attack == name]
        good = sum(map(reconstructs, its))
        best = max(max(one.psnr) for one in its)
        beside = max(max(one.neighbour_psnr) for one in its)
        word = f"Leak: {name} reconstructs" if good else f"{name} does not reconstruct"
        told.append(
            f"{word} images from {good if good else 'any'} of {len(its)} updates of {its[0].images} images, round "
            f"{its[0].round}: PSNR up to {best:.1f} dB; the most similar other training image: up to {beside:.1f} dB."
        )
    return told


def _property(one: PropertyRecord) -> str:
    word = "Leak: updates tell" if tells(one) else "Updates were not shown to tell"
    return (
        f"{word} the share of {one.finding} at hospitals: {one.attack} errs by {one.error:.3f} on {one.clients} "
        f"clients, the constant answer by {one.constant_error:.3f}."
    )


def _refuted(one: PrivacyAuditRecord) -> str:
    why = (
        f"epsilon is at least {one.bound:.2f} (95 %), claimed {one.claimed:.2f}"
        if (one.claimed is not None and one.bound > one.claimed)
        else f"{_noise(one)[0].lower()}{_noise(one)[1:]}"
    )
    return f"The promise of {one.mechanism} is refuted: {why}."


def _kept(one: PrivacyAuditRecord) -> str:
    claimed = "none" if one.claimed is None else f"{one.claimed:.2f}"
    beyond = (
        f"; claims above {one.ceiling:.2f} are out of its reach"
        if one.claimed is None or one.claimed > one.ceiling
        else ""
    )
    return (
        f"The audit of {one.mechanism} did not refute the promise: epsilon is at least {one.bound:.2f} (95 %), "
        f"claimed {claimed} at delta {one.delta:g}; {one.canaries} canaries{beyond}. {_noise(one)}."
    )


def _noise(one: PrivacyAuditRecord) -> str:
    if one.noise is None:
        return "Its noise could not be measured"
    return f"Noise of {one.noise:.3g} clipping norms was measured, claimed {one.noise_claimed or 0:.3g}"
