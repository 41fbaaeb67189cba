"""The site's contents: the sections of the index, and the pages that only the site has."""

import re
from collections.abc import Mapping
from pathlib import Path

GENERATED = {
    "Names": r"names/[^/]+/index\.md",
    "Reference": r"reference/[^/]+\.md",
}
SECTION = re.compile(r"^## (.+)\n((?:(?!## ).*\n?)*)", re.MULTILINE)
LINK = re.compile(r"\[([^]]+)\]\(([^)#\s]+\.md)\)")


def with_contents(index: str, pages: Mapping[Path, str]) -> str:
    """Return the index with a table of contents for each of its sections, in the order of its links."""
    trees, listed = [], set()
    for title, text in SECTION.findall(index):
        found = {
            link: called for called, link in LINK.findall(text) if Path(link) in pages and link not in listed
        }
        listed |= set(found)
        trees.append(tree(title, [entry(called, link) for link, called in found.items()]))
    for title, pattern in GENERATED.items():
        found = sorted((pages[page], page) for page in pages if re.fullmatch(pattern, str(page)))
        trees.append(tree(title, [str(page.with_suffix("")) for _, page in found]))
    return index + "".join(trees)


def entry(called: str, link: str) -> str:
    """Return the line of a page: its own title, or that of the link unless it is the file's name.

    Example:
        >>> entry("changes", "CHANGELOG.md"), entry("audit.md", "audit.md")
        ('Changes <CHANGELOG>', 'audit')
    """
    page = link.removesuffix(".md")
    return page if link.endswith(called) else f"{called[:1].upper()}{called[1:]} <{page}>"


def tree(title: str, entries: list[str]) -> str:
    """Return a hidden table of contents."""
    lines = "\n".join(entries)
    return f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n{lines}\n```\n" if entries else ""
