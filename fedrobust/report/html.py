"""Templates made into pages: all text is escaped, and a page needs nothing but itself."""

import importlib.resources
from typing import Any

STYLE = "style.css"


def page(template: str, package: str = "fedrobust.report", **content: Any) -> str:
    """Return a page as text.

    Args:
        template: its file.
        package: that the file lies in.
        content: the template's variables; the style sheet is one of them.
    """
    # Imported here, so that a command line that merely knows of reports starts at once.
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(*package.split(".", 1)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = importlib.resources.files("fedrobust.report").joinpath(STYLE).read_text(encoding="utf-8")
    return environment.get_template(template).render(style=Markup(style), **content)
