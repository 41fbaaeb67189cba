"""The folder of a sweep."""

from pathlib import Path

from fedrobust.config import ConfigError
from fedrobust.sweeps.sweep import Sweep
from fedrobust.sweeps.values import distinct


def folder_of(sweep: Sweep, out: str | Path = "", ending: str = "sweep") -> Path:
    """Return the folder of a sweep: `out`, or one below ``output.root`` of its studies if it is empty.

    ``output.dir`` is the folder of one run, and is not used by a sweep.

    Args:
        sweep: of which.
        out: as the user gave it.
        ending: of the name of the folder.

    Raises:
        ConfigError: the cells have more than one ``output.root``.

    Example:
        >>> str(folder_of(Sweep.of("rules", {"seed": [0, 1], "output.root": "mine"})))
        'mine/rules-sweep'
    """
    if out:
        return Path(out).expanduser()
    roots = distinct(cell.experiment.output.root for cell in sweep.cells)
    if len(roots) > 1:
        raise ConfigError(f"output.root = {roots}: a sweep has one folder: leave one of them, or give --out")
    return Path(roots[0]).expanduser() / f"{sweep.name}-{ending}"
