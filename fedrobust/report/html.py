"""Render templates as self-contained pages, with all text escaped."""

import importlib.resources
from typing import Any

STYLE = "style.css"


def page(template: str, package: str = "fedrobust.report", **content: Any) -> str:
    """Return a page as text.

    Args:
        template: its file.
        package: of the file.
        content: the template's variables, including the style sheet.
    """
    # Imported here, so that the command line starts fast.
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
