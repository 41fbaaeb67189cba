"""Which rules, attacks and figures does secrecy of single updates leave? The study's own checks are asked of each.

python experiments/privacy/conflict.py      # the table, as in RESULTS.md
"""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from fedrobust.aggregation.contract import PRE_AGGREGATORS, RULES
from fedrobust.checks.check import check_data
from fedrobust.config import ConfigError, Experiment
from fedrobust.poisoning.contract import POISONING
from fedrobust.study import Study

UNIFORM = "mean(weighting='uniform')"
PROMISES: Mapping[str, Mapping[str, Any]] = {
    "no protection": {},
    "secure aggregation": {"federation__secure_aggregation": True},
    "clients, noise at the server": {"federation__postprocessors": ["gaussian-dp"]},
    "clients, noise at each client": {"federation__postprocessors": ["gaussian-dp(noise='local')"]},
    "images (DP-SGD)": {"privacy__example_epsilon": 8.0, "training__optimizer": "sgd(momentum=0.0)"},
}
SMALL: Mapping[str, Any] = {
    "data__samples": 400,
    "federation__clients": 20,
    "federation__aggregator": UNIFORM,
    "model__normalization": "group",
    "distillation__enabled": False,
    "export__enabled": False,
    "audit__enabled": False,
}
"""A study that nothing else refuses."""


def refused(**settings: Any) -> bool:
    """Return whether a study is refused."""
    try:
        check_data(Study(Experiment.of(**settings)))
    except ConfigError:
        return True
    return False


def of_rule(name: str) -> Mapping[str, Any]:
    """Return the settings that choose a rule."""
    return {"federation__aggregator": name}


def of_mixture(name: str) -> Mapping[str, Any]:
    """Return the settings that choose a pre-aggregator."""
    return {"federation__pre_aggregators": [name]}


def of_attack(name: str) -> Mapping[str, Any]:
    """Return the settings that choose a poisoning attack."""
    return {"poisoning__attack": name, "poisoning__malicious": 2}


def allowed(names: list[str], settings: Callable[[str], Mapping[str, Any]]) -> list[list[str]]:
    """Return for each promise the names that it leaves, of those that go without any promise."""
    found: list[list[str]] = []
    for promise in PROMISES.values():
        tried = found[0] if found else names
        found.append([name for name in tried if not refused(**{**SMALL, **promise, **settings(name)})])
    return found


def counted(everything: list[str], left: list[str]) -> str:
    """Return how many of a family are left, and the shorter list of names: left or refused.

    Example:
        >>> counted(["mean", "median", "krum"], ["mean"]), counted(["mpaf", "alie"], ["mpaf", "alie"])
        ('1 of 3: `mean`', '2 of 2')
    """
    gone = [name for name in everything if name not in left]
    shown = left if len(left) <= 2 else gone
    said = ", ".join(f"`{name}`" for name in shown)
    text = f"{len(left)} of {len(everything)}"
    return (
        text if not said or not gone else f"{text}: {said}" if shown is left else f"{text}; refused: {said}"
    )


def table() -> str:
    """Return the table, in Markdown."""
    families = {
        "aggregation rules": allowed([*RULES.members, UNIFORM], of_rule),
        "pre-aggregators": allowed([*PRE_AGGREGATORS.members], of_mixture),
        "poisoning attacks": allowed([name for name in POISONING.members if name != "none"], of_attack),
    }
    lines = [f"| | {' | '.join(PROMISES)} |", f"| --- |{' --- |' * len(PROMISES)}"]
    for family, by_promise in families.items():
        cells = [counted(by_promise[0], left) for left in by_promise]
        lines.append(f"| {family} left | {' | '.join(cells)} |")
    hidden = ("yes", "**no**", "yes", "yes", "yes")
    lines += [
        f"| detection figures of the defence, checks of single replies | {' | '.join(hidden)} |",
        "| membership and inversion from single updates | possible | **cannot be made** | possible, the server is "
        "trusted | possible, on noisy updates | possible, on noisy updates |",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    print(table())
