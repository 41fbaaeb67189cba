"""Sphinx's settings for the pages that `stage.py` writes."""

import os
import re
from importlib.metadata import version as version_of

os.environ["PLOTLY_RENDERER"] = (
    "notebook"  # the script stands in each notebook's page: nothing is loaded from elsewhere
)
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

project = "fedrobust"
author = "The fedrobust authors"
copyright = author
version = release = version_of("fedrobust")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
nitpicky = True
nitpick_ignore_regex = [("py:(class|exc)", ".*")]  # docstrings name errors and types in words
smartquotes = False  # names and commands stay as they are typed
default_role = "literal"  # `name` in docstrings

myst_heading_anchors = 4  # the anchors that GitHub makes
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_execution_in_temp = True
nb_execution_show_tb = True
nb_merge_streams = True

autodoc_typehints = "none"  # docstrings give types, shapes and units
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"

html_theme = "furo"
html_title = "fedrobust"
html_static_path = ["style.css"]
html_css_files = ["style.css"]
html_show_sourcelink = False
html_copy_source = False
html_show_sphinx = False


def without_scripts_of_others(app, page, template, context, doctree) -> None:
    """Leave out MathJax, which Plotly's figures would load from elsewhere for formulas; they have none."""
    context["body"] = re.sub(r'<script src="https://[^"]*"></script>', "", context.get("body", ""))


def setup(app) -> None:
    """Register what is done to pages."""
    app.connect("html-page-context", without_scripts_of_others)
