"""Made-up evidence: what attacks are said to have done to a model that is none; checks are judged in microseconds."""

from types import SimpleNamespace

import numpy as np

from fedrobust.audit import CHECKS, ModelUnderAudit, Plan
from fedrobust.audit.finding import Finding, Outcome, Weight
from fedrobust.audit.result import Result
from fedrobust.audit.review import ADVICE
from fedrobust.evasion import BoundModel

EPSILON = 0.1
SHAPE = (2, 2, 1)


def result(
    *broken, n=200, rows=None, name="attack", epsilons=(EPSILON,), queries=10.0, gradients=5.0
) -> Result:
    """Return what an attack on `rows` (all of n if None) broke at each epsilon: so many of the first, or those."""
    rows = np.arange(n) if rows is None else np.asarray(rows, np.int64)
    success = np.array(
        [rows < one if isinstance(one, int) else np.isin(rows, list(one)) for one in broken]
    ).reshape(len(broken), len(rows))
    logits = np.where(success, -1, 1)[..., None] * np.array([0.5, -0.5])
    return Result(name, tuple(epsilons), rows, success, logits, queries, gradients, 1.0)


def search(n=200, classes=2, effort="standard", differentiable=True, right=None, runs=None, **given):
    """Return a search whose attacks are `given`: results by the search's names for them.

    Args:
        n: images, of each class in turn.
        classes: of the model.
        effort: of the plan.
        differentiable: whether the model shows gradients.
        right: so many of the first images are right as they are; all if None.
        runs: results of attacks that a check asks for itself, by the model and the attack; what was asked is kept in
            the search's `asked`.
        given: results, and what the audited or the evidence have: control, edge, history, data, trained_on, clean,
            substituted, plan, target, labels.
    """
    known = ("control", "edge", "history", "balanced_history", "trained_on")
    about = {key: given.pop(key) for key in known if key in given}
    labels = given.pop("labels", np.arange(n, dtype=np.int32) % classes)
    n = len(labels)
    target = given.pop("target", SimpleNamespace(classes=classes, shape=SHAPE))
    audited = ModelUnderAudit(
        "model",
        target,
        np.zeros((n, *SHAPE), np.float32),
        labels,
        "digest",
        given.pop("data", {"name": "made up"}),
        **about,
    )
    asked = []

    def run(spec, epsilons=None, *, target=None, of="", **settings):
        asked.append((str(spec), epsilons, target, of, settings))
        return runs[of, str(spec)]

    evidence = SimpleNamespace(
        audited=audited,
        plan=given.pop("plan", Plan(epsilon=EPSILON, effort=effort)),
        differentiable=differentiable,
        right=np.arange(n) < (n if right is None else right),
        clean=given.pop("clean", np.eye(classes)[labels]),
        substituted=given.pop("substituted", None),
        target=target,
        run=run,
        averaged=lambda other: other,
    )
    return SimpleNamespace(
        cache=evidence, epsilon=EPSILON, plain="pgd(steps=20)", asked=asked, steps=20, **given
    )


def white_box(classes=2) -> BoundModel:
    """Return a network that is never asked."""
    compiled = SimpleNamespace(classes=classes, shape=SHAPE)
    compiled.through_roundings = compiled  # it rounds nothing
    return BoundModel(compiled, ())


def told(found: Finding, outcome: Outcome, weight: Weight = Weight.NOT_PROVEN) -> tuple[str, str]:
    """Return figure and sentence of a finding that has this outcome, and advice for its name."""
    assert (found.outcome, found.weight) == (outcome, weight)
    assert found.check in ADVICE
    return found.figure, found.sentence


def named(check: str):
    """Return a check of the audit by its function's name."""
    return next(one for one in CHECKS if one.__name__ == check)
