"""Checks against other models: the undefended control, and the exported file."""

from fedrobust.audit.attack_suite import AttackSuite
from fedrobust.audit.attacks_on_file import attacks_on_file
from fedrobust.audit.checks.skipped import not_applicable
from fedrobust.audit.finding import Finding, Weight, outcome_of, share
from fedrobust.audit.mcnemar import SURE, mcnemar


def control(suite: AttackSuite) -> Finding:
    """The model is more robust than the same model without its defence."""
    rule = (
        "more images are robust than with the same architecture without the defence, under the same attack "
        "(McNemar, 5 %)"
    )
    source = "Carlini et al. (2019), arXiv:1902.06705"
    audited = suite.cache.audited
    if audited.control is None:
        return not_applicable(
            "control: no better than the undefended model",
            rule,
            "No undefended control was given: the effect of the defence cannot be measured.",
            source,
        )
    if not suite.cache.differentiable:
        sentence = "The model has no gradient, but its control has: the same attack cannot be run on both."
        return not_applicable("control: no better than the undefended model", rule, sentence, source)
    name, target = audited.control
    stands, n = ~suite.pgd.success[0], len(audited)
    theirs = ~suite.cache.run(suite.plain, target=target, of=f"control {name}").success[0]
    only_here, only_there = int((stands & ~theirs).sum()), int((theirs & ~stands).sum())
    failed = mcnemar(only_here, only_there) >= SURE
    return Finding(
        "control: no better than the undefended model",
        outcome_of(failed),
        Weight.NOT_PROVEN,
        f"{share(int(stands.sum()), n)} robust to PGD, the control: {share(int(theirs.sum()), n)}",
        rule,
        "The same model without the defence is as robust: the defence has no effect."
        if failed
        else "The model is more robust with the defence than without it.",
        source,
        {"only here": only_here, "only there": only_there, "n": n},
    )


def int8_twin(suite: AttackSuite) -> Finding:
    """The exported file is not more robust than the model it came from."""
    audited = suite.cache.audited
    rule = "under straight-through PGD the int8 file is at most 2 points more robust than the float model"
    source = "Bernhard et al. (2019), arXiv:1909.12741"
    if audited.edge is None:
        sentence = "No exported file was given."
        return not_applicable(
            "gradient masking: int8 file beats its float model", rule, sentence, source, Weight.REPORT
        )
    if not suite.cache.differentiable:
        sentence = "The model has no gradient with which its exported file could be attacked."
        return not_applicable(
            "gradient masking: int8 file beats its float model", rule, sentence, source, Weight.REPORT
        )
    found = attacks_on_file(suite)
    return Finding(
        "gradient masking: int8 file beats its float model",
        outcome_of(found.masked),
        Weight.REPORT,
        f"{share(found.worst, found.n)} right under the worst of {', '.join(found.right)}",
        rule,
        "Rounding masks the gradient of the exported file: its robustness is at most the float model's."
        if found.masked
        else "The exported file is about as robust as the model it came from.",
        source,
        found.details(),
    )
