"""Texts and tables as Markdown."""

import re
from collections.abc import Iterable, Sequence


def escaped(text: str) -> str:
    r"""Return a text that is shown as it is.

    Example:
        >>> print(escaped("|a| < b*c"))
        \|a\| \< b\*c
    """
    return re.sub(r"([\\*_<>\[\]|#$~^`{}])", r"\\\1", text)


def with_papers(text: str) -> str:
    """Return a text whose arXiv identifiers are links."""
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; its cells are Markdown without line breaks."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
