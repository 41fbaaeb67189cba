"""Checks of epsilons against attacks and norm; images are not needed."""

import json
from collections.abc import Iterator

from fedrobust.config.sections import Audit, Evaluation
from fedrobust.epsilon import LEVEL, epsilon_value


def strengths(evaluation: Evaluation) -> Iterator[str]:
    """Evasion attacks have epsilons."""
    if evaluation.attacks and not evaluation.epsilons:
        yield (
            f"evaluation.epsilons = [] with evaluation.attacks = {list(evaluation.attacks)}: an attack needs at least "
            "one epsilon; give one, or set evaluation.attacks = []"
        )


def of_the_norm(evaluation: Evaluation, audit: Audit) -> Iterator[str]:
    """Epsilons in l2 are chosen: the defaults are lengths in linf, at which nothing is attacked in l2.

    Args:
        evaluation: norm, attacks and their epsilons.
        audit: the epsilon of its verdict.
    """
    if evaluation.norm != "l2":
        return
    unset = {
        "evaluation.epsilons = [0.1, 0.25, 0.5, 1.0, 2.0]": bool(evaluation.attacks)
        and evaluation.epsilons == Evaluation.model_fields["epsilons"].default,
        "audit.epsilon = 0.5": audit.enabled and audit.epsilon == Audit.model_fields["epsilon"].default,
    }
    missing = [advice for advice, is_unset in unset.items() if is_unset]
    if missing:
        keys = " and ".join(advice.partition(" = ")[0] for advice in missing)
        yield (
            f'evaluation.norm = "l2" with the default of {keys}, which is for linf: a change of that l2 length is far '
            f"below one grey level a pixel; set, for instance, {' and '.join(missing)}"
        )


def grey_levels(evaluation: Evaluation, audit: Audit) -> Iterator[str]:
    """Another 8-bit image is one grey level away at least: below, every image would count as robust.

    Args:
        evaluation: bits, attacks and their epsilons.
        audit: names other epsilons.
    """
    if not evaluation.bits:
        return
    given = {"evaluation.epsilons": evaluation.epsilons if evaluation.attacks else ()}
    if audit.enabled:
        given |= {"audit.epsilon": (audit.epsilon,), "audit.epsilons": audit.epsilons}
    for key, epsilons in given.items():
        within = [one for one in epsilons if epsilon_value(one) < LEVEL * (1 - 1e-6)]
        if within:
            rest = [one for one in epsilons if one not in within]
            advice = f", as in {key} = {json.dumps(rest)}" if rest else ""
            yield (
                f"{key}: {', '.join(map(str, within))} with evaluation.bits = {evaluation.bits}: no other 8-bit image "
                f"lies within; choose at least 1/255, one grey level{advice}"
            )
