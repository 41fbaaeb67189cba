"""Finite but absurd updates under every rule and server optimiser: is the round kept back, or is anything raised?

    python experiments/reliability/absurd.py --seeds 10

Nine clients, one or all of which send updates of 1e30 or 3.4e38, in all coordinates, one, or with alternating signs, or
negative variances, or moving means of 1e38. After the absurd round two honest ones follow. A round may end in three
ways: a sound model, a reason for which it is kept back, or too little for the rule, with its reason. Anything raised
instead counts as a crash. Where the round is kept back, the honest rounds after it must give the same bits as without
it.
"""

import argparse
import itertools
import json
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from rules import MOST, RULES, LinearAnswers

from fedrobust.aggregation import SERVER_OPTIMIZERS, AggregationPipeline, defence
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.poisoning import Attack, Schedule
from fedrobust.spec import build
from server.accumulators import Collected
from server.aggregation_step import AggregationStep
from server.errors import RuleError
from server.soundness import statistics_fault, weights_fault

CLIENTS = 9
LAYOUT = Layout(
    (
        Entry("first/kernel", (7, 2), "trainable"),
        Entry("logits/kernel", (2, 2), "trainable"),
        Entry("logits/bias", (2,), "trainable"),
        Entry("norm/moving_mean", (4,), "statistic"),
        Entry("norm/moving_variance", (4,), "statistic"),
    )
)
D, S = 20, 8
OPTIMIZERS = ("none", *SERVER_OPTIMIZERS)
KINDS = (
    "all",
    "one coordinate",
    "alternating",
    "tiny beside huge",
    "negative variance",
    "huge mean",
    "huge loss",
)


@dataclass(frozen=True)
class Outcome:
    """What came of an absurd round: "sound", "kept back", "rule" (too little for it) or "crash", and why."""

    kind: str
    why: str = ""


@cache
def step_of(rule: str, optimizer: str) -> AggregationStep:
    """Return the aggregation step of a study with this rule and optimiser."""
    stages: AggregationPipeline = defence(rule, f=2)
    made = None if optimizer == "none" else build(SERVER_OPTIMIZERS, optimizer)
    root = np.linspace(-1, 1, D).astype(np.float32)
    return AggregationStep(
        stages, 2, made, Attack(()), Schedule(), 0, lambda current, images, round, typical: root,
        layout=LAYOUT, answers=lambda current: LinearAnswers(root),
    )  # fmt: skip


def honest(draw: np.random.Generator) -> Collected:
    """Return the updates of honest clients."""
    updates = (0.01 * (1 + draw.standard_normal((CLIENTS, D)))).astype(np.float32)
    statistics = np.abs(1 + 0.1 * draw.standard_normal((CLIENTS, S))).astype(np.float32)
    ids, images = np.arange(CLIENTS), draw.integers(10, 50, CLIENTS)
    return Collected(ids, updates, statistics, images, np.full(CLIENTS, 0.5), np.ones(CLIENTS, bool))


def absurd(draw: np.random.Generator, kind: str, size: float, everybody: bool) -> Collected:
    """Return the updates of a round with one absurd client, or nothing but such ones."""
    sent = honest(draw)
    rows = slice(None) if everybody else slice(4, 5)
    updates, statistics = sent.updates, sent.statistics
    if kind == "all":
        updates[rows] = size
    elif kind == "one coordinate":
        updates[rows, 3] = -size
    elif kind == "alternating":
        updates[rows] = size * np.where(np.arange(D) % 2, 1, -1)
    elif kind == "tiny beside huge":
        updates[rows] = np.where(np.arange(D) % 2, size, 1e-45)
    elif kind == "negative variance":
        statistics[rows, -1] = -size
    elif kind == "huge mean":
        statistics[rows, 0] = size
    else:
        assert sent.losses is not None
        sent.losses[rows] = 1e30
        updates[rows] = size
    return sent


def left(sent: Collected) -> Collected:
    """Return the updates without those whose statistics a federation refuses as they arrive."""
    good = np.array([not statistics_fault(row, LAYOUT) for row in sent.statistics])
    assert sent.losses is not None
    return replace(
        sent,
        client_ids=sent.client_ids[good],
        updates=sent.updates[good],
        statistics=sent.statistics[good],
        examples=sent.examples[good],
        losses=sent.losses[good],
        measured=sent.measured[good],
    )


def outcome(rule: str, optimizer: str, kind: str, size: float, everybody: bool, seed: int) -> Outcome:
    """Play an honest round, an absurd one and two honest ones, and return what came of the absurd one."""
    step = step_of(rule, optimizer)
    start = Weights(np.zeros(D, np.float32), np.ones(S, np.float32))
    draws = [np.random.default_rng([seed, number]) for number in range(4)]
    with np.errstate(all="ignore"):
        first = step.next_weights(1, start, honest(draws[0]), {})
        sent = left(absurd(draws[1], kind, size, everybody))
        if len(sent.client_ids) < CLIENTS // 2:
            return Outcome("kept back", "too few replies are left")
        try:
            second = step.next_weights(2, first.weights, sent, first.memory)
        except RuleError as error:
            found = Outcome("rule", str(error))
        except Exception as error:
            return Outcome("crash", f"{type(error).__name__}: {error}")
        else:
            why = second.fault or weights_fault(second.weights, LAYOUT)
            found = Outcome("kept back", why) if why else Outcome("sound")
        if found.kind == "sound":
            weights, memory = second.weights, second.memory
        else:
            weights, memory = first.weights, first.memory
        for number in (2, 3):
            sent = honest(draws[number])
            with_it = step.next_weights(number + 1, weights, sent, memory)
            if found.kind != "sound":
                without = step.next_weights(number + 1, first.weights, sent, first.memory)
                if number == 2 and without.weights.digest() != with_it.weights.digest():
                    return Outcome("crash", "the round after it differs from one without it")
            weights, memory = with_it.weights, with_it.memory
            if why := with_it.fault or weights_fault(weights, LAYOUT):
                return Outcome("crash", f"an honest round after it is unusable: {why}")
    return found


def measure(seeds: int, rules: list[str], optimizers: tuple[str, ...] = OPTIMIZERS) -> dict[str, object]:
    """Return how often what came of the absurd rounds."""
    counts: Counter[str] = Counter()
    crashes, unexplained = [], 0
    sizes = (1e30, MOST)
    for case in itertools.product(rules, optimizers, KINDS, sizes, (False, True), range(seeds)):
        found = outcome(*case)
        counts[found.kind] += 1
        unexplained += found.kind in ("kept back", "rule") and not found.why
        if found.kind == "crash":
            crashes.append(f"{case}: {found.why}")
    return {
        "rounds": counts.total(),
        **{kind: counts[kind] for kind in ("sound", "kept back", "rule", "crash")},
        "without a reason": unexplained,
        "crashes": crashes[:20],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rules", nargs="*", default=RULES, help="by default all")
    options = parser.parse_args()
    print(json.dumps(measure(options.seeds, options.rules), indent=1))
