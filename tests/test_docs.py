"""What the pages say is so: links lead somewhere, commands and studies are accepted, examples compile."""

import re
import runpy
import shlex
import sys
import textwrap
from pathlib import Path

import click
import numpy as np
import pytest
import typer

from fedrobust import cli
from fedrobust.aggregation import RULES, Updates
from fedrobust.audit.review import ADVICE
from fedrobust.config import Experiment
from fedrobust.poisoning import POISONING
from fedrobust.sweeps.sweep import Sweep

PROJECT = Path(__file__).resolve().parents[1]
PAGES = sorted(PROJECT.glob("*.md")) + sorted(
    page for folder in ("docs", "docs/notebooks") for page in (PROJECT / folder).glob("*.md")
)
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
NAMES = [str(page.relative_to(PROJECT)) for page in PAGES]


def blocks(language):
    """Return a language's code blocks: page, text."""
    return [
        (page.name, textwrap.dedent(found[3]))
        for page in PAGES
        for found in BLOCK.finditer(page.read_text())
        if found[2] == language
    ]


def prose(page):
    return BLOCK.sub("", page.read_text())


def anchors(page):
    """Return the anchors that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands():
    """Return the lines of the pages that call fedrobust: page, words."""
    found = []
    for page in PAGES:
        inline = re.findall(r"`(fedrobust [^`\n]+)`", prose(page))
        lines = [
            line
            for name, text in blocks("sh")
            if name == page.name
            for line in text.replace("\\\n", " ").splitlines()
        ]
        for line in inline + lines:
            if re.match(r"(\.venv/bin/)?fedrobust ", line) and "..." not in line.partition("#")[0]:
                found.append((page.name, shlex.split(line, comments=True)[1:]))
    return found


def parse(words):
    """Let the command line's own parser read the words; nothing is run."""
    command = typer.main.get_command(cli.app)
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    if isinstance(command, click.Group):
        options = {option for each in command.params for option in each.opts}
        assert words[0] in options, f"{words[0]}: neither a command nor an option"
        return
    command.make_context(command.name, list(words))


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("page", [*PAGES, *sorted(PROJECT.glob("experiments/**/*.md"))], ids=str)
def test_every_row_stands_in_a_table(page):
    lines = ["", *prose(page).splitlines(), ""]
    for before, line, after in zip(lines, lines[1:], lines[2:], strict=False):
        if line.startswith("|") and not before.startswith("|"):
            assert re.fullmatch(r"\|[\s:|-]+\|", after), line


def test_every_page_is_in_the_index():
    index = (PROJECT / "docs/index.md").read_text()
    found = [page.relative_to(PROJECT / "docs").as_posix() for page in PAGES if "docs" in page.parts[-3:]]
    missing = [page for page in found if f"({page})" not in index]
    assert missing == ["index.md"]


def test_every_package_stands_in_the_architecture():
    page = (PROJECT / "docs/architecture.md").read_text()
    packages = [path.parent.name for path in (PROJECT / "fedrobust").glob("*/__init__.py")]
    assert [name for name in packages if f"`{name}`" not in page] == []


def test_every_check_of_an_audit_stands_on_its_page():
    page = (PROJECT / "docs/audit.md").read_text()
    rows = [f"| {check} | {advice.called} | {advice.next} |" for check, advice in ADVICE.items()]
    assert [row for row in rows if row not in page] == []


def test_the_readme_is_short():
    assert len((PROJECT / "README.md").read_text().splitlines()) <= 120


def test_every_command_parses():
    found = commands()
    assert len(found) > 30
    for page, words in found:
        try:
            parse(words)
        except click.MissingParameter:
            assert len(words) == 1, (
                f"{page}: fedrobust {shlex.join(words)}: only a command's bare name goes without"
            )
        except click.ClickException as error:
            pytest.fail(f"{page}: fedrobust {shlex.join(words)}: {error.format_message()}")
        lost = [word for word in words if word.startswith("experiments/") and not (PROJECT / word).exists()]
        assert not lost, page


def test_an_option_that_does_not_exist_is_seen():
    with pytest.raises(click.UsageError):
        parse(["run", "--no-such-option"])


def test_every_study_is_accepted(tmp_path):
    found = blocks("toml")
    assert found
    for number, (_, text) in enumerate(found):
        path = tmp_path / f"{number}.toml"
        path.write_text(text)
        if text.startswith("# sweep"):
            assert len(Sweep.load(path).cells) > 1
        else:
            Experiment.load(path)


def test_every_python_block_compiles():
    found = blocks("python")
    assert len(found) > 4
    for page, text in found:
        compile(text, page, "exec")


def test_the_tables_of_settings_are_those_of_the_config():
    page = (PROJECT / "docs/studies.md").read_text()
    written = runpy.run_path(str(PROJECT / "docs/settings.py"))["written"]
    assert written(page) == page, "run `python docs/settings.py`"
    assert "| `min-replies` |" in page


def test_the_rule_in_contributing_averages_the_shorter_half(tmp_path, monkeypatch):
    (text,) = [text for page, text in blocks("python") if page == "CONTRIBUTING.md"]
    (tmp_path / "shortest_half.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        rule = RULES["shortest_half:ShortestHalf"]()
        done = rule(Updates.of(np.array([[1, 0], [9, 9], [0, 3]], np.float32)), None)
    finally:
        RULES.members.pop("shortest-half", None)
        sys.modules.pop("shortest_half", None)
    assert done.update.tolist() == [0.5, 1.5]
    assert done.influence.tolist() == [0.5, 0, 0.5]


def test_the_readme_counts_attacks_and_rules_as_they_are():
    text = (PROJECT / "README.md").read_text()
    assert [int(count) for count in re.findall(r"\| (\d+) aggregation rules", text)] == [len(list(RULES))]
    assert [int(count) for count in re.findall(r"\| (\d+) attacks on data", text)] == [len(list(POISONING))]
