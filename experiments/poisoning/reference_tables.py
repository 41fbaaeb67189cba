"""The tables of REFERENCE.md, from the results of its cells."""

from collections.abc import Mapping, Sequence

import numpy as np
from first_pass import AUC, NONE, SUCCESS, WITHOUT
from kept import Result
from reference_settings import FEDERATIONS, PARTITIONS, PNEUMONIA, SETTINGS, SHARES, STUDIES, Setting

from fedrobust.sweeps.ranks import critical_difference, ranked

SEARCH = "delta-search"
"""Part of the names of attacks that know the rule."""

BACKDOOR = "pixel-backdoor + delta-search"
"""The attacker with a backdoor who knows the rule."""


def span(values: Sequence[float]) -> str:
    """Return mean, smallest and largest of shares in percent.

    Example:
        >>> span([0.5, 0.6, 0.7]), span([0.5])
        ('60.0 (50.0 to 70.0)', '50.0')
    """
    shown = [100 * value for value in values]
    between = f" ({min(shown):.1f} to {max(shown):.1f})" if len(shown) > 1 else ""
    return f"{sum(shown) / len(shown):.1f}{between}"


def signed(value: float) -> str:
    """Return a difference with its sign; none is positive.

    Example:
        >>> signed(-0.01), signed(-1.0)
        ('+0.0', '-1.0')
    """
    return f"{round(value, 1) + 0.0:+.1f}"


def by_attack(own: Sequence[Result]) -> dict[str, list[Result]]:
    """Return the results of a rule in a setting by attack, in their order."""
    by: dict[str, list[Result]] = {}
    for one in own:
        by.setdefault(one["attack"], []).append(one)
    return by


def average(results: Sequence[Result], figure: str) -> float:
    """Return the mean of a figure over seeds."""
    return sum(one[figure] for one in results) / len(results)


def worst(by: Mapping[str, Sequence[Result]]) -> tuple[str, str]:
    """Return the attack with the lowest mean AUC and the one with the highest mean success, "" for none."""
    targeted = [name for name in by if SUCCESS in by[name][0]]
    others = [name for name in by if name != NONE and name not in targeted]
    return (
        min(others, key=lambda name: average(by[name], AUC), default=""),
        max(targeted, key=lambda name: average(by[name], SUCCESS), default=""),
    )


def costs(calm: Sequence[Result], plain: Sequence[Result]) -> list[float]:
    """Return the AUC that a rule loses to the mean without an attack, for each seed that both were run with.

    Example:
        >>> costs([{"seed": 0, "auc": 0.5}], [{"seed": 0, "auc": 0.75}, {"seed": 1, "auc": 0.8}])
        [0.25]
    """
    known = {one["seed"]: one[AUC] for one in plain}
    return [known[one["seed"]] - one[AUC] for one in calm if one["seed"] in known]


def of_setting(results: Sequence[Result], setting: Setting) -> dict[str, dict[str, list[Result]]]:
    """Return the results of a setting by rule and attack."""
    own = [one for one in results if one["setting"] == setting.name]
    return {
        rule: by_attack([one for one in own if one["rule"] == rule])
        for rule in dict.fromkeys(one["rule"] for one in own)
    }


def table(results: Sequence[Result]) -> str:
    """Return the tables of REFERENCE.md: one over all settings, and one for each setting with results."""
    lines = [f"{len(results)} cells are finished.", ""]
    if results:
        lines += [*overall(results), "", *adaptive(results), ""]
        for place, name in enumerate(("Cost", "Lowest AUC", "Top success")):
            lines += [f"{name}, means over settings:", "", *marginals(results, place), ""]
    for setting in SETTINGS:
        rules = of_setting(results, setting)
        if rules:
            seeds = sorted({one["seed"] for by in rules.values() for own in by.values() for one in own})
            lines += [
                f"**{setting.name}** (seeds {', '.join(map(str, seeds))})",
                "",
                "| rule | AUC, no attack | cost | lowest AUC | by | top success | no trigger | by | adaptive success |",
                "| --- " * 9 + "|",
                *(row(rule, by, rules.get("mean", {}).get(NONE, [])) for rule, by in rules.items()),
                "",
            ]
    return "\n".join(lines)


def scores(results: Sequence[Result], setting: Setting) -> dict[str, tuple[float, float, float]]:
    """Return what is the better the higher, by rule: minus its cost, the lowest AUC, and minus the top success."""
    found = {}
    rules = of_setting(results, setting)
    for rule, by in rules.items():
        harm, top = worst(by)
        cost = costs(by.get(NONE, []), rules.get("mean", {}).get(NONE, []))
        if harm and top and cost:
            found[rule] = -sum(cost) / len(cost), average(by[harm], AUC), -average(by[top], SUCCESS)
    return found


def marginals(results: Sequence[Result], place: int) -> list[str]:
    """Return a Markdown table of rules by properties of settings.

    Args:
        results: of all settings.
        place: 0: the cost, 1: the lowest AUC, 2: the top success; see `scores`.
    """

    def shown(values: Sequence[float]) -> str:
        if not values:
            return "–"
        mean = 100 * sum(values) / len(values)
        return f"{abs(mean):.1f}" if place else signed(-mean)

    known = {setting: scores(results, setting) for setting in SETTINGS}
    usual = [setting for setting in SETTINGS if setting.study == PNEUMONIA]
    groups = {
        **{one: [each for each in usual if each.partition == one] for one in PARTITIONS},
        **{
            f"{clients} clients, {share:.0%} in a round": [
                each for each in usual if (each.clients, each.participation) == (clients, share)
            ]
            for clients, share in FEDERATIONS
        },
        **{f"{one:.0%} malicious": [each for each in usual if each.malicious == one] for one in SHARES},
        **{name: [each for each in SETTINGS if each.study == name] for name in STUDIES},
    }
    rules = list(dict.fromkeys(rule for found in known.values() for rule in found))
    lines = [f"| settings | number | {' | '.join(rules)} |", "| --- " * (len(rules) + 2) + "|"]
    for name, settings in groups.items():
        own = [known[each] for each in settings if known[each]]
        values = [shown([found[rule][place] for found in own if rule in found]) for rule in rules]
        lines.append(f"| {name} | {len(own)} | {' | '.join(values)} |")
    return lines


def adaptive(results: Sequence[Result]) -> list[str]:
    """Return in how many pairs of setting and rule the worst attack is one that knows the rule, as a sentence."""
    pairs = [worst(by) for setting in SETTINGS for by in of_setting(results, setting).values()]
    complete = [pair for pair in pairs if all(pair)]
    harm, success = (sum(SEARCH in pair[place] for pair in complete) for place in range(2))
    return [
        f"Of {len(complete)} pairs of setting and rule, an attacker who knows the rule (`{SEARCH}`) does the most "
        f"harm in {harm}, and has the highest success in {success}."
    ]


def overall(results: Sequence[Result]) -> list[str]:
    """Return a Markdown table: means over settings for each rule, and its mean ranks with their critical difference.

    Settings in which some rule has no result are left out.
    """
    found = [one for setting in SETTINGS if (one := scores(results, setting))]
    rules = list(dict.fromkeys(rule for one in found for rule in one))
    values = np.array([[one[rule] for rule in rules] for one in found if len(one) == len(rules)])
    if not len(values):
        return ["No setting has all rules yet."]
    means = 100 * values.mean(0)
    ranks = np.stack([ranked(values[:, :, place]).mean(0) for place in range(3)], axis=1)
    lines = ["| rule | cost | rank | lowest AUC | rank | top success | rank |", "| --- " * 7 + "|"]
    for rule, (cost, low, success), own in zip(rules, means, ranks, strict=True):
        lines.append(
            f"| {rule} | {signed(-cost)} | {own[0]:.1f} | {low:.1f} | {own[1]:.1f} "
            f"| {abs(success):.1f} | {own[2]:.1f} |"
        )
    if len(values) > 1:
        apart = critical_difference(len(rules), len(values))
        lines += [
            "",
            f"{len(values)} settings; mean ranks that differ by less than {apart:.1f} are not told apart.",
        ]
    return lines


def row(rule: str, by: Mapping[str, Sequence[Result]], plain: Sequence[Result]) -> str:
    """Return the line of a rule: the worst attacks are those with the worst mean over the seeds.

    Args:
        rule: its name.
        by: its results in the setting, by attack.
        plain: results of the mean without an attack.
    """

    def shown(name: str, figure: str) -> str:
        values = [one[figure] for one in by.get(name, []) if figure in one]
        return span(values) if values else "–"

    harm, top = worst(by)
    cost = costs(by.get(NONE, []), plain)
    cells = (
        rule,
        shown(NONE, AUC),
        signed(100 * sum(cost) / len(cost)) if cost else "–",
        *(shown(harm, AUC), f"`{harm}`" if harm else "–"),
        *(shown(top, SUCCESS), shown(top, WITHOUT), f"`{top}`" if top else "–"),
        shown(BACKDOOR, SUCCESS),
    )
    return f"| {' | '.join(cells)} |"
