"""Which modules dotted paths may import: all, or in a process that trains on a hospital's images, those it allows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_limits: list[tuple[str, ...]] = []


@contextmanager
def only(modules: Sequence[str] | None) -> Iterator[None]:
    """In the block, let dotted paths import these modules and those below them only, in all threads of the process.

    Settings that come from elsewhere name what is called: ``"os:system(command='...')"`` is a dotted path, too.

    Args:
        modules: names such as ``my_package``; None: no limit.

    Example:
        >>> from fedrobust.registry import import_dotted
        >>> with only(["math"]):
        ...     import_dotted("math:sqrt")(9.0)
        3.0
        >>> with only([]):
        ...     import_dotted("math:sqrt")
        Traceback (most recent call last):
        fedrobust.registry.UnknownNameError: 'math:sqrt': this node runs the installed fedrobust only; a module of \
your own, installed here: allow it with own-modules = ["math"] in site.toml
    """
    if modules is None:
        yield
        return
    limit = tuple(modules)
    _limits.append(limit)
    try:
        yield
    finally:
        _limits.remove(limit)


def limited() -> bool:
    """Return whether dotted paths may import some modules only."""
    return bool(_limits)


def refusal(module: str) -> str:
    """Return why a module may not be imported by a dotted path; empty if it may."""
    if all(any(module == one or module.startswith(f"{one}.") for one in limit) for limit in list(_limits)):
        return ""
    return (
        "this node runs the installed fedrobust only; a module of your own, installed here: allow it with "
        f'own-modules = ["{module.partition(".")[0]}"] in site.toml'
    )
