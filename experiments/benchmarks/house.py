"""Measure the structure of the code: arrows between packages, circles, long files, repeated blocks.

    python experiments/benchmarks/house.py [--all] [--root OTHER_CHECKOUT]

`FLOORS` is the rule that `tests/test_house.py` keeps: a package imports from its own floor and from those below it.
"""

import argparse
import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
ROOTS = ("fedrobust", "server", "clients")

FLOORS = (
    "errors epsilon atomic cache_root code_digest randomness memoize shares cores processor streams paths plain "
    "reasons bounds temporary vectors",
    "own_modules lazy deferred registry spec client_lines availability runtime apps",
    "graphs",
    "data models defences",
    "training aggregation algorithms privacy removal",
    "evasion poisoning flower detectors leakage",
    "evaluation edge config",
    "study checks runs",
    "audit report clients tracking prediction",
    "engines",
    "sweeps",
    "figures exposure leaderboard",
    "api",
    "complaints deployment terminal",
    "server cli __main__",
)
"""Packages and modules from the ground up. Names without a prefix are those of `fedrobust`."""

SLOW = {
    *("tensorflow", "keras", "ai_edge_litert", "h5py"),
    *("pandas", "plotly", "ray", "scipy", "sklearn", "flwr", "uvicorn", "rich", "pydantic", "numpy"),
    *("PIL", "pydicom"),
}
"""Packages that are imported inside functions, because most calls do not need them."""

EXPLAINED = "imported inside"
"""How a module's docstring tells why it imports inside of functions, where no comment stands above the import."""

LONGEST = 300
BLOCK = 6


@dataclass(frozen=True)
class Import:
    """One module's import of another.

    Attributes:
        source: dotted name of the module that imports.
        target: of the one imported.
        line: where.
        inside: in a function.
        typing: for the type checker only.
    """

    source: str
    target: str
    line: int
    inside: bool = False
    typing: bool = False


@dataclass(frozen=True)
class House:
    """The modules below a checkout and what they import.

    Args:
        root: of the checkout.
    """

    root: Path

    @cached_property
    def modules(self) -> dict[str, Path]:
        """Files by dotted name."""
        found = {}
        for top in ROOTS:
            for path in sorted((self.root / top).rglob("*.py")):
                parts = path.relative_to(self.root).with_suffix("").parts
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
        return found

    @cached_property
    def trees(self) -> dict[str, ast.Module]:
        """Syntax trees by dotted name."""
        return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in self.modules.items()}

    @cached_property
    def imports(self) -> list[Import]:
        """All imports, those of other projects included."""
        return [
            one
            for name, tree in self.trees.items()
            for one in _imports(tree, name, self.modules, False, False)
        ]

    @cached_property
    def own(self) -> list[Import]:
        """Imports between the modules of the project, at run time; the root package hands on to others on demand."""
        return [
            one
            for one in self.imports
            if not one.typing and one.target in self.modules and "fedrobust" not in (one.source, one.target)
        ]

    def circles(self) -> list[list[str]]:
        """Return groups of modules that import one another, then groups of rooms that do, each sorted."""
        modules = {(one.source, one.target) for one in self.own}
        rooms = {(room(one), room(other)) for one, other in modules if room(one) != room(other)}
        return [*_knots(modules), *_knots(rooms)]

    def upward(self) -> list[Import]:
        """Return the imports from a higher floor than the importing module's own."""
        found = (one for one in self.own if floor(room(one.source)) < floor(room(one.target)))
        return list(dict.fromkeys(found))

    def rooms(self) -> set[str]:
        """Return the packages and modules directly below `fedrobust`, and those beside it."""
        return {room(name) for name in self.modules} - {"fedrobust"}

    def hidden(self) -> list[Import]:
        """Return the imports inside of functions that keep no slow package out of their module."""
        inside = (one for one in dict.fromkeys(self.own) if one.inside)
        return [one for one in inside if self._reached[one.target] <= self._reached[one.source]]

    def unexplained(self) -> list[Import]:
        """Return the imports inside of functions of which neither a comment above nor the module's docstring tells."""
        found = []
        for one in dict.fromkeys(one for one in self.own if one.inside):
            lines = self.modules[one.source].read_text(encoding="utf-8").splitlines()
            above = one.line - 2
            while lines[above].strip().startswith(("from ", "import ")):
                above -= 1
            told = ast.get_docstring(self.trees[one.source]) or ""
            if not lines[above].strip().startswith("#") and EXPLAINED not in " ".join(told.split()):
                found.append(one)
        return found

    def whole_studies(self) -> list[str]:
        """Return the functions that take a whole `Experiment`."""
        return [
            f"{name}.{node.name}"
            for name, tree in self.trees.items()
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and any(
                argument.annotation is not None
                and ast.unparse(argument.annotation).strip("'\"") == "Experiment"
                for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            )
        ]

    def long_files(self) -> list[tuple[int, str]]:
        """Return the files of more than `LONGEST` lines, the longest first."""
        lengths = [(len(path.read_text().splitlines()), name) for name, path in self.modules.items()]
        return sorted([one for one in lengths if one[0] > LONGEST], reverse=True)

    def repeated(self) -> list[tuple[str, str]]:
        """Return the pairs of places, ``module:line``, at which the same `BLOCK` lines of code or more begin."""
        places: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
        code = {name: _code(path, self.trees[name]) for name, path in self.modules.items()}
        for name, lines in code.items():
            for start in range(len(lines) - BLOCK + 1):
                places[tuple(text for _, text in lines[start : start + BLOCK])].append((name, start))
        pairs = {pair for found in places.values() for pair in combinations(found, 2)}
        first = [pair for pair in pairs if tuple((name, start - 1) for name, start in pair) not in pairs]
        return sorted(
            (f"{one}:{code[one][at][0]}", f"{other}:{code[other][there][0]}")
            for (one, at), (other, there) in first
        )

    @cached_property
    def _reached(self) -> dict[str, set[str]]:
        """The slow packages that importing a module brings."""
        reached: dict[str, set[str]] = {name: set() for name in self.modules}
        targets = defaultdict(set)
        for one in self.imports:
            if not one.inside and not one.typing:
                targets[one.source].add(one.target)
        for name in self.modules:
            for depth in range(1, name.count(".") + 1):  # a module's packages are imported before it
                targets[name].add(".".join(name.split(".")[:depth]))
        changed = True
        while changed:
            changed = False
            for name, wanted in targets.items():
                new = {one.split(".")[0] for one in wanted if one.split(".")[0] in SLOW}
                new = new.union(*(reached[one] for one in wanted if one in reached))
                if not new <= reached[name]:
                    reached[name] |= new
                    changed = True
        return reached


def room(module: str) -> str:
    """Return the package or module directly below `fedrobust` to which a module belongs, or ``server``, ``clients``.

    Example:
        >>> room("fedrobust.data.npz"), room("server.app")
        ('data', 'server')
    """
    first, *rest = module.split(".")
    return rest[0] if first == "fedrobust" and rest else first


def floor(room: str) -> int:
    """Return the floor of a room, from 0; above all others for one that stands nowhere."""
    return next((level for level, names in enumerate(FLOORS) if room in names.split()), len(FLOORS))


def _imports(
    node: ast.AST, source: str, modules: dict[str, Path], inside: bool, typing: bool
) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        within = inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        checked = typing or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
        if isinstance(child, ast.Import):
            yield from (Import(source, one.name, child.lineno, within, checked) for one in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            for one in child.names:
                inner = f"{child.module}.{one.name}"
                target = inner if inner in modules else child.module
                yield Import(source, target, child.lineno, within, checked)
        yield from _imports(child, source, modules, within, checked)


def _knots(edges: set[tuple[str, str]]) -> list[list[str]]:
    """Return the strongly connected components of more than one node."""
    ahead: dict[str, set[str]] = defaultdict(set)
    for one, other in edges:
        ahead[one].add(other)
    reach = {one: _reachable(one, ahead) for one in ahead}
    knots = {frozenset(other for other in reach[one] if one in reach.get(other, ())) for one in reach}
    return sorted(sorted(knot) for knot in knots if len(knot) > 1)


def _reachable(start: str, ahead: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for other in ahead.get(waiting.pop(), ()):
            if other not in seen:
                seen.add(other)
                waiting.append(other)
    return seen


def _code(path: Path, tree: ast.Module) -> list[tuple[int, str]]:
    """Return the lines of code with their numbers: no imports, faces, docstrings, comments, brackets."""
    left_out: set[int] = set()
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_face = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        if isinstance(node, ast.stmt) and (
            is_text or is_face or isinstance(node, ast.Import | ast.ImportFrom)
        ):
            left_out |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    return [
        (number, line.strip())
        for number, line in lines
        if number not in left_out and line.strip(" ()[]{},:") and not line.strip().startswith("#")
    ]


def main() -> None:
    """Print the figures, and with ``--all`` what they count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=PROJECT)
    parser.add_argument("--all", action="store_true")
    given = parser.parse_args()
    house = House(given.root)
    found = {
        "functions that take the whole Experiment": house.whole_studies(),
        "import circles": [" <-> ".join(one) for one in house.circles()],
        "imports from a floor above": [f"{one.source}:{one.line} -> {one.target}" for one in house.upward()],
        "imports in functions that keep no slow package out": [
            f"{one.source}:{one.line} -> {one.target}" for one in house.hidden()
        ],
        f"files over {LONGEST} lines": [f"{name} {length}" for length, name in house.long_files()],
        f"repeated blocks of {BLOCK} lines and more": [" = ".join(pair) for pair in house.repeated()],
        "packages on no floor": [name for name in sorted(house.rooms()) if floor(name) == len(FLOORS)],
    }
    for what, places in found.items():
        print(f"{len(places):4} {what}")
        if given.all:
            print(*(f"       {place}" for place in places), sep="\n")


if __name__ == "__main__":
    main()
