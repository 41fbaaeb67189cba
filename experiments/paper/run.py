"""Run the paper's cells, cheapest first, several at a time; whatever ends it, the same command goes on where it ended.

python experiments/paper/run.py
"""

import argparse
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from cells import paper

from fedrobust.sweeps.bench import bench
from fedrobust.sweeps.console import SweepConsole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="runs/paper", help="folder of the runs")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="cells run at a time")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with SweepConsole() as console:
        bench(paper(), arguments.out, console, workers=arguments.workers)


if __name__ == "__main__":
    main()
