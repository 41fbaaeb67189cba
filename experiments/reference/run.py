"""Run the cells of the reference table, one seed after the other, and write RESULTS.md.

    python experiments/reference/run.py
    python experiments/reference/run.py --data breastmnist --seeds 0 1 2 3 4

Whatever ends it, the same command goes on where it ended. Data sets that are not here are left out; records of cells
that are not run again stay.
"""

import argparse
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from cells import METHODS, PARTITIONS, SEEDS, cells, data_sets, sweep
from records import collect
from write import main as write

from fedrobust.cores import cores
from fedrobust.sweeps.bench import bench
from fedrobust.terminal.sweep import SweepConsole

EXPERIMENTS = Path(__file__).parents[1]


def main() -> None:
    here = list(data_sets())
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", default="runs/reference", help="folder of the runs")
    parser.add_argument("--workers", type=int, default=cores(), help="cells run at a time")
    parser.add_argument("--data", nargs="+", choices=here, default=here, help="data sets")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--partitions", nargs="+", choices=PARTITIONS, default=list(PARTITIONS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    wanted = {
        place: cell
        for place, cell in cells(arguments.data, arguments.seeds, EXPERIMENTS).items()
        if place.partition in arguments.partitions and place.method in arguments.methods
    }
    try:
        with SweepConsole() as console:
            bench(sweep(wanted), arguments.out, console, workers=arguments.workers)
    except KeyboardInterrupt:
        sys.exit(f"stopped; the same command goes on, with --out {arguments.out}")
    finally:
        collect(wanted, Path(arguments.out))
        write()


if __name__ == "__main__":
    main()
