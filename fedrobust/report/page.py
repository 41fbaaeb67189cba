"""The report of one run: ``report.html``, one self-contained file.

It contains Plotly's script (MIT licence), compressed, the style sheet and all images, and needs no network. A content
security policy allows only its own two scripts, by their hash, and all text from the run folder is escaped.
"""

import base64
import gzip
import hashlib
import importlib.resources
from functools import cache
from pathlib import Path

from fedrobust.atomic import atomic
from fedrobust.report import base91, html
from fedrobust.report.folder import Run, read
from fedrobust.report.sections import sections

TEMPLATE = "page.html.j2"
SCRIPT = "page.js"


def write(folder: Path) -> Path:
    """Write ``report.html`` into a run folder, from the folder's files only, atomically.

    Args:
        folder: a run folder; only ``result.json`` is required.

    Returns:
        The path of the report.

    Raises:
        ReportError: ``result.json`` is missing, invalid, or of another schema.
    """
    page = render(read(folder))
    target = folder / "report.html"
    with atomic(target) as draft:
        # A lone surrogate in a run's text must not prevent the report.
        draft.write_text(page, encoding="utf-8", errors="replace", newline="\n")
    return target


def render(run: Run) -> str:
    """Return the page of a run as HTML."""
    # Imported here, so that the command line starts fast.
    from markupsafe import Markup

    script = importlib.resources.files("fedrobust.report").joinpath(SCRIPT).read_text(encoding="utf-8")
    packed, size, digest = _plotly()
    return html.page(
        TEMPLATE,
        plotly=Markup(packed),  # its alphabet has no "<": it holds no closing tag
        plotly_bytes=size,
        script=Markup(script),
        script_hashes=Markup(f"'{digest}' '{_hash(script)}'"),
        **sections(run),
    )


@cache
def _plotly() -> tuple[str, int, str]:
    """Return Plotly's script as gzip in printable characters, 1.8 MB of 4.8 MB; the gzip's bytes; the script's hash.

    The page's own script unpacks it, in a browser of 2023 or later.
    """
    # Imported here, so that the command line starts fast.
    from plotly.offline import get_plotlyjs

    script = get_plotlyjs()
    # Without a time, so that a run's report is the same whenever it is written.
    packed = gzip.compress(script.encode("utf-8"), 9, mtime=0)
    return base91.encode(packed), len(packed), _hash(script)


def _hash(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode('ascii')}"
