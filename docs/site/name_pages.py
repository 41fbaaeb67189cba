"""A page for every name that a study file may use, from what `fedrobust explain` knows, and for every audit check."""

import re

from check_pages import check_pages
from measured import tables_about
from prose import escaped, grid, with_papers

from fedrobust.config.explain import Explanation, explain
from fedrobust.config.families import FAMILIES

TITLES = {
    "models": "Networks",
    "partitions": "Partitions",
    "availability": "Sites that come and go",
    "site-shifts": "Shifts of hospitals",
    "recipes": "Training recipes",
    "optimizers": "Local optimisers",
    "losses": "Losses",
    "augmentations": "Augmentations",
    "algorithms": "Federated algorithms",
    "defences": "Prediction-time defences",
    "postprocessors": "Postprocessors of updates",
    "rules": "Aggregation rules",
    "pre-aggregators": "Pre-aggregators",
    "server-optimizers": "Server optimisers",
    "poisoning": "Poisoning attacks",
    "metrics": "Metrics",
    "attacks": "Evasion attacks",
}


def name_pages() -> dict[str, str]:
    """Return the pages of all families, of their members and of the checks, by their places on the site."""
    pages = {}
    for family in FAMILIES:
        found = {name: member(family, name) for name in FAMILIES[family].registry}
        pages[f"names/{family}/index.md"] = family_page(family, found)
        pages |= {f"names/{family}/{name}.md": page(family, one) for name, one in found.items()}
    return pages | check_pages()


def member(family: str, name: str) -> Explanation:
    """Return what is known of a member: a name may be one of several families."""
    kind = FAMILIES[family].registry.family
    return next(one for one in explain(name) if one.kind == kind)


def family_page(family: str, members: dict[str, Explanation]) -> str:
    """Return the table of a family's members."""
    keys = " and ".join(f"`{key}`" for key in FAMILIES[family].keys)
    where = f"{keys} in a study file" if keys else f"`{FAMILIES[family].command.format('NAME')}`"
    rows = [(f"[{name}]({name}.md)", escaped(one.text[0])) for name, one in members.items()]
    forms = "".join(f"\nOr `{form}`: {escaped(what)}.\n" for form, what in FAMILIES[family].forms.items())
    toc = "\n".join(members)
    return (
        f"# {TITLES.get(family, family.capitalize())}\n\n{where}; `fedrobust list {family}` shows them on the "
        f"command line.\n\n{grid(('name', 'what it does'), rows)}\n{forms}\n```{{toctree}}\n:hidden:\n\n{toc}\n```\n"
    )


def page(family: str, one: Explanation) -> str:
    """Return the page of a member."""
    kind = f"*{one.kind[:1].upper()}{one.kind[1:]}*"
    keys = " and ".join(f"`{key}`" for key in one.keys)
    parts = [
        f"# {one.name}",
        ", ".join(part for part in (kind, keys) if part),
    ]
    parts += [with_papers(escaped(paragraph)) for paragraph in one.text]
    if one.settings:
        rows = [
            (
                f"`{each.name}`",
                f"`{each.default}`" if each.default else "",
                escaped(each.allowed),
                escaped(each.meaning),
            )
            for each in one.settings
        ]
        parts += ["## Settings", grid(("setting", "default", "allowed", "meaning"), rows)]
    if one.example:
        parts += ["## In a study file", f"```toml\n{one.example}\n```"]
    parts += tables_about(one.name, family, tuple(FAMILIES[family].registry))
    parts += [
        "## Code",
        f"`{code(FAMILIES[family].registry[one.name])}`; `fedrobust explain {one.name}` shows this page's text.",
    ]
    return "\n\n".join(parts) + "\n"


def code(thing: object) -> str:
    """Return the file of a class or function, in the repository."""
    module = getattr(thing, "__module__", "")
    return re.sub(r"\.", "/", module) + ".py"
