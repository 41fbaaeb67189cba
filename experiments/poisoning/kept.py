"""Results of finished cells in a JSON file, and their tables between two marks of a page."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedrobust.atomic import atomic

BETWEEN = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- end of table -->)", re.DOTALL)

Result = dict[str, Any]
"""What is kept of a finished run."""


@dataclass(frozen=True)
class Kept:
    """Where results and their tables are.

    Attributes:
        results: JSON file, a result a line.
        page: Markdown file with the lines ``<!-- table -->`` and ``<!-- end of table -->``.
    """

    results: Path
    page: Path

    def read(self) -> list[Result]:
        """Return the results so far."""
        if not self.results.is_file():
            return []
        found: list[Result] = json.loads(self.results.read_text(encoding="utf-8"))
        return found

    def write(self, results: Sequence[Result], table: str) -> None:
        """Write the results, and their `table` into the page."""
        lines = ",\n".join(json.dumps(one) for one in results)
        page = self.page.read_text(encoding="utf-8")
        for path, text in (
            (self.results, f"[\n{lines}\n]\n"),
            (self.page, BETWEEN.sub(lambda _: table, page)),
        ):
            with atomic(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
