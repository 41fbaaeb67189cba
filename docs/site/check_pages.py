"""A page for every check of an audit, from the check's own code."""

import ast
import re
from functools import cache
from pathlib import Path

from prose import escaped, grid, with_papers

from fedrobust.audit.review import ADVICE

PROJECT = Path(__file__).parents[2]
CODE = PROJECT / "fedrobust/audit"


def slug(check: str) -> str:
    """Return the name of a check's page.

    Example:
        >>> slug("label leaking: attacked beats clean")
        'label-leaking-attacked-beats-clean'
    """
    return re.sub(r"[^a-z0-9]+", "-", check.lower()).strip("-")


def check_pages() -> dict[str, str]:
    """Return the page of every check, and of them all, by their places on the site."""
    rows = [(f"[{escaped(check)}]({slug(check)}.md)", about.called) for check, about in ADVICE.items()]
    toc = "\n".join(slug(check) for check in ADVICE)
    every = (
        "# Checks of an audit\n\nA failed check has a consequence for the [verdict](../../audit.md#the-verdict).\n\n"
        f"{grid(('check', 'a failure is called'), rows)}\n\n```{{toctree}}\n:hidden:\n\n{toc}\n```\n"
    )
    return {"names/checks/index.md": every} | {
        f"names/checks/{slug(check)}.md": page(check) for check in ADVICE
    }


def page(check: str) -> str:
    """Return the page of one check."""
    where, function = functions()[check]
    said = [" ".join(part.split()) for part in (ast.get_docstring(function) or "").split("\n\n")]
    rows = [
        ("a failure is called", escaped(ADVICE[check].called)),
        ("next step", escaped(ADVICE[check].next)),
    ]
    rows += [("consequence of a failure", consequence) for consequence in weights(function)]
    about = [
        with_papers(escaped(re.sub("`", "", part)))
        for part in said
        if not re.match("(Args|Returns|Raises)", part)
    ]
    return (
        "\n\n".join(
            [f"# {escaped(check)}", "*Check of an audit*", *about, grid(("", ""), rows), f"Code: `{where}`"]
        )
        + "\n"
    )


@cache
def functions() -> dict[str, tuple[str, ast.FunctionDef]]:
    """Return the function that makes each check, and its file."""
    found = {}
    for path in sorted(CODE.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                texts = {node.value for node in ast.walk(function) if isinstance(node, ast.Constant)}
                for check in ADVICE:
                    if check in texts:
                        found.setdefault(check, (str(path.relative_to(PROJECT)), function))
    return found


def weights(function: ast.FunctionDef) -> list[str]:
    """Return the verdicts that a check's failure leads to."""
    names = [
        node.attr.lower().replace("_", " ")
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Weight"
    ]
    told = dict.fromkeys(
        "none: the figure is reported" if name == "report" else f"at best `{name}`" for name in names
    )
    return [", or ".join(told)] if told else []
