"""Run the paper's cells, cheapest first, several at a time, and write RESULTS.md.

    python experiments/paper/run.py

After an interruption the same command resumes. Cells whose data or weights are missing and cannot be downloaded are
reported, and marked in the tables.
"""

import argparse
import signal
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from cells import FILES, hash_of, name_of, paper
from collect import collect, read
from write import write

from fedrobust.cores import cores
from fedrobust.sweeps.bench import bench
from fedrobust.sweeps.cell import Cell
from fedrobust.sweeps.sweep import Sweep
from fedrobust.terminal.sweep import SweepConsole


def missing(sweep: Sweep) -> Sweep:
    """Return the cells of `sweep` that have no finished record."""
    known = {one["cell"]: one["hash"] for file in FILES for one in read(file) if one["status"] == "finished"}

    def is_known(cell: Cell) -> bool:
        name = name_of(cell.experiment)
        return name in known and hash_of(cell) in ("", known[name])

    return replace(sweep, cells=tuple(cell for cell in sweep.cells if not is_known(cell)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="runs/paper", help="folder of the runs")
    parser.add_argument("--workers", type=int, default=cores(), help="cells run at a time")
    parser.add_argument(
        "--missing", action="store_true", help="only cells that have no finished record in results/"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sweep = missing(paper()) if arguments.missing else paper()
    try:
        with SweepConsole() as console:
            bench(sweep, arguments.out, console, workers=arguments.workers)
    except KeyboardInterrupt:
        sys.exit(f"stopped; the same command goes on, with --out {arguments.out}")
    finally:
        collect(paper(), Path(arguments.out))
        write()


if __name__ == "__main__":
    main()
