"""The report of one run: ``report.html``, complete in one file.

It opens from disk without a network: Plotly's script, the style and every image are inside. A content
security policy lets only its own two scripts run, by their hash; all text from the run folder is escaped too.
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


def write(folder: Path) -> Path:
    """Write ``report.html`` into a run folder, from what the folder holds and nothing else.

    The file appears whole or not at all.

    Args:
        folder: a run folder; only ``result.json`` has to be there.

    Returns:
        The path of the report.

    Raises:
        ReportError: ``result.json`` is absent, not valid, or of another schema.
    """
    page = render(read(folder))
    target = folder / "report.html"
    with atomic(target) as draft:
        # A lone surrogate in a run's text is no reason to have no report.
        draft.write_text(page, encoding="utf-8", errors="replace", newline="\n")
    return target


def render(run: Run) -> str:
    """Make the page of a run, as text."""
    # Imported here, so that a command line that merely knows of reports starts at once.
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    script = importlib.resources.files("fedrobust.report").joinpath(SCRIPT).read_text(encoding="utf-8")
    plotly = get_plotlyjs()
    return html.page(
        TEMPLATE,
        plotly=Markup(plotly),  # the library's own text; it holds no closing script tag
        script=Markup(script),
        script_hashes=Markup(f"'{_hash(plotly)}' '{_hash(script)}'"),
        **sections(run),
    )


def _hash(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode('ascii')}"
