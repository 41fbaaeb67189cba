"""The documentation site, before Sphinx reads it: what has a page, and what stands on it."""

import ast
import doctest
import inspect
import re
from pathlib import Path

import pytest
from check_pages import slug
from contents import tree
from measured import tables_about
from prose import escaped, grid
from stage import PROJECT, site, written

import fedrobust
from fedrobust.audit.review import ADVICE
from fedrobust.config import Experiment
from fedrobust.config.families import FAMILIES


@pytest.fixture(scope="module")
def made():
    return site()


@pytest.fixture(scope="module")
def pages(made):
    return {str(place): text for place, text in made[0].items()}


def test_every_file_that_a_page_links_to_exists(made):
    assert sorted(str(file) for file in made[1] if not (PROJECT / file).exists()) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_every_registered_name_has_its_page(family, pages):
    for name in FAMILIES[family].registry:
        page = pages[f"names/{family}/{name}.md"]
        assert page.startswith(f"# {name}\n")
        assert all(f"`{key}`" in page for key in FAMILIES[family].keys)
        assert f"[{name}]({name}.md)" in pages[f"names/{family}/index.md"]


def test_every_check_of_an_audit_has_its_page(pages):
    for check, advice in ADVICE.items():
        page = pages[f"names/checks/{slug(check)}.md"]
        assert escaped(advice.next) in page
        assert "fedrobust/audit/" in page


def test_a_page_shows_formula_source_settings_and_what_was_measured(pages):
    krum = pages["names/rules/krum.md"]
    assert "n \\>= 2f + 3" in krum
    assert "| `f` |" in krum
    assert "| Krum | 0.16 s | 2.77 s | 0.72 s | 1.05 |" in krum
    assert "| sign flip |" in pages["names/rules/median.md"], "its column of a table"
    assert "https://arxiv.org/abs/1706.06083" in pages["names/attacks/pgd.md"]
    assert "steps + 1" in pages["names/recipes/pgd.md"]
    assert "steps + 1" not in pages["names/attacks/pgd.md"]
    assert tables_about("no-such-rule", "rules", ("krum", "no-such-rule")) == []


def test_every_setting_is_on_the_page_of_the_study_file(pages):
    page = pages["reference/study-file.md"]
    for name, field in Experiment.model_fields.items():
        for setting in getattr(field.annotation, "model_fields", [name]):
            assert field.exclude or f"| `{setting.replace('_', '-')}` |" in page


def test_every_public_name_is_on_the_page_of_the_python_interface(pages):
    page = pages["reference/python.md"]
    assert [name for name in fedrobust.__all__ if f":: fedrobust.{name}\n" not in page] == []


def test_every_page_is_in_the_contents(pages):
    listed = set()
    for place, text in pages.items():
        for block in re.findall(r"```{toctree}\n(.*?)```", text, re.DOTALL):
            lines = [line for line in block.splitlines() if line and not line.startswith(":")]
            found = [re.sub(r".*<(.*)>", r"\1", line) for line in lines]
            listed |= {str(Path(place).parent / f"{page}.md") for page in found}
    assert set(pages) - listed == {"index.md"}
    assert tree("Empty", []) == ""


def skipped_levels(text: str) -> list[str]:
    """Return the headings that are more than one level below the one before, which Sphinx refuses."""
    outside = re.sub(r"^( *)(`{3,})(.*?)^\1\2 *$", "", text, flags=re.DOTALL | re.MULTILINE)
    found, last = [], 0
    for marks, heading in re.findall(r"^(#+) (.*)$", outside, re.MULTILINE):
        if len(marks) > last + 1:
            found.append(heading)
        last = len(marks)
    return found


def test_no_heading_skips_a_level(pages):
    assert skipped_levels("# A\n\n### B\n\n## C\n\n```sh\n### no heading\n```\n") == ["B"]
    assert {page: found for page, text in pages.items() if (found := skipped_levels(text))} == {}


def test_links_lead_to_the_place_on_the_site():
    text, files = written(
        "[a](audit.md#limits) [b](../experiments/README.md) [c](https://x.y)", Path("docs/evasion.md")
    )
    assert text == "[a](audit.md#limits) [b](experiments/README.md) [c](https://x.y)"
    assert files == {Path("docs/audit.md"), Path("experiments/README.md")}
    assert written("[a](../docs/audit.md)", Path("experiments/README.md"))[0] == "[a](../audit.md)"


def test_cells_are_those_of_a_table():
    assert grid(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


@pytest.mark.parametrize("name", fedrobust.__all__)
def test_every_public_function_has_an_example_that_fits_its_signature(name):
    """Examples that train are run by tests/integration/test_pages_run.py, the others as doctests."""
    found = doctest.DocTestParser().get_examples(inspect.getdoc(getattr(fedrobust, name)))
    assert found
    for node in ast.walk(ast.parse("".join(example.source for example in found))):
        if isinstance(node, ast.Call) and re.fullmatch(r"fedrobust\.\w+", ast.unparse(node.func)):
            called = getattr(fedrobust, node.func.attr)
            named = {word.arg: None for word in node.keywords if word.arg}
            inspect.signature(called).bind(*node.args, **named)
