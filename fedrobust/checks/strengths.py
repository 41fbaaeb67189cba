"""Checks of epsilons against attacks and norm; images are not needed."""

from collections.abc import Iterator

from fedrobust.config.sections import Audit, Evaluation


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
