"""Write what Sphinx reads: the repository's pages, with their links to each other, and the pages of names.

    python docs/site/stage.py FOLDER

Pages of `docs/` stand at the top of the site, pages of other folders in theirs. Files that a page links to, and that
are no pages, are copied beside it, and become downloads.
"""

import re
import shutil
import sys
from pathlib import Path

from contents import with_contents
from interface_pages import interface_pages
from name_pages import name_pages

PROJECT = Path(__file__).parents[2]
LINK = re.compile(r"(?<=\]\()([^)\s#]+)")
OUTSIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "experiments/**/*.md")
BUILT = "_build"


def staged(path: Path) -> Path:
    """Return the place on the site of a file of the repository, relative to the site.

    Example:
        >>> staged(Path("docs/audit.md")), staged(Path("experiments/README.md"))
        (PosixPath('audit.md'), PosixPath('experiments/README.md'))
    """
    return path.relative_to("docs") if path.parts[0] == "docs" else path


def written(text: str, page: Path) -> tuple[str, set[Path]]:
    """Return a page with links as on the site, and the files of the repository that it links to."""
    found = set()

    def moved(link: re.Match[str]) -> str:
        if re.match(r"[a-z]+:", link[1]):
            return link[1]
        target = (PROJECT / page.parent / link[1]).resolve().relative_to(PROJECT)
        if (PROJECT / target).is_dir():
            target /= "README.md"
        found.add(target)
        return relative(staged(target), staged(page).parent)

    return LINK.sub(moved, text), found


def relative(path: Path, folder: Path) -> str:
    """Return `path` seen from `folder`; both are relative to the site.

    Example:
        >>> relative(Path("audit.md"), Path("experiments"))
        '../audit.md'
    """
    return "../" * len(folder.parts) + path.as_posix()


def sources() -> list[Path]:
    """Return the pages of the repository that are on the site, relative to it."""
    pages = [page for page in (PROJECT / "docs").rglob("*.md") if BUILT not in page.parts]
    pages += [page for pattern in OUTSIDE for page in PROJECT.glob(pattern)]
    return sorted(page.relative_to(PROJECT) for page in pages)


def site() -> tuple[dict[Path, str], set[Path]]:
    """Return the text of every page by its place on the site, and the other files of the repository on it."""
    pages, linked = {}, set()
    for source in sources():
        pages[staged(source)], targets = written((PROJECT / source).read_text(), source)
        linked |= targets
    made = {Path(name): text for name, text in {**name_pages(), **interface_pages()}.items()}
    pages[Path("index.md")] = with_contents(pages[Path("index.md")], {**pages, **made})
    return {**pages, **made}, linked - set(sources())


def main(folder: Path) -> None:
    """Write the site's sources into a new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    pages, files = site()
    for place, text in pages.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text)
    for file in files:
        (folder / staged(file)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / file, folder / staged(file))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
