"""The report of one run: ``report.html``, one self-contained file.

It contains the script of Plotly's Cartesian plots (MIT licence), the style sheet and all images, and needs no network.
A content security policy allows only its own two scripts, by their hash, and all text from the run folder is escaped.
"""

import base64
import hashlib
import importlib.resources
from pathlib import Path

from fedrobust.atomic import atomic
from fedrobust.report import html
from fedrobust.report.folder import Run, read
from fedrobust.report.sections import sections

TEMPLATE = "page.html.j2"
SCRIPT = "page.js"
PLOTLY = "plotly-cartesian.min.js"
"""plotly.js 4.1.1 without 3-D plots and maps: 1.5 MB, of 4.8 MB in the Python package."""


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

    script, plotly = (
        importlib.resources.files("fedrobust.report").joinpath(name).read_text(encoding="utf-8")
        for name in (SCRIPT, PLOTLY)
    )
    return html.page(
        TEMPLATE,
        plotly=Markup(plotly),  # the library's own text; it holds no closing script tag
        script=Markup(script),
        script_hashes=Markup(f"'{_hash(plotly)}' '{_hash(script)}'"),
        **sections(run),
    )


def _hash(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode('ascii')}"
