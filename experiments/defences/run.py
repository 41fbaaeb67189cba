"""Train and audit the cells of the table of defences, cheap ones first, and write RESULTS.md.

    python experiments/defences/run.py
    python experiments/defences/run.py --data pneumoniamnist --divisions iid --defences plain PGD TRADES --seeds 0

Whatever ends it, the same command goes on where it ended: cells with a record in ``results/`` are not run again, others
are resumed from the folder of the runs. The record of a cell is written when the cell ends.
"""

import argparse
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from cells import DEFENCES, DIVISIONS, NETWORKS, PLAIN, SEEDS, STUDIES, Protocol, cells, places, sweep
from records import collect, unfinished
from write import main as write

from fedrobust.cores import cores
from fedrobust.sweeps.bench import bench
from fedrobust.sweeps.events import CellFinished, SweepEvent
from fedrobust.terminal.sweep import SweepConsole

EXPERIMENTS = Path(__file__).parents[1]


def main() -> None:
    usual = Protocol()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", default="runs/defences", help="folder of the runs")
    parser.add_argument("--workers", type=int, default=cores(), help="cells run at a time")
    parser.add_argument("--network", choices=NETWORKS, default=usual.network)
    parser.add_argument("--data", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--divisions", nargs="+", choices=DIVISIONS, default=list(DIVISIONS))
    parser.add_argument("--defences", nargs="+", choices=DEFENCES, default=list(DEFENCES))
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--epsilon", default=usual.epsilon, help="of recipes and audit")
    parser.add_argument("--effort", choices=("quick", "standard", "full"), default=usual.effort)
    parser.add_argument(
        "--images", type=int, default=usual.images, help="test images that are audited; 0: all"
    )
    parser.add_argument("--rounds", type=int, default=0, help="0: those of the network or the study")
    parser.add_argument("--again", action="store_true", help="run cells that have a record, too")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    protocol = Protocol(given.epsilon, given.effort, given.images, given.rounds, network=given.network)
    defences = list(dict.fromkeys((PLAIN, *given.defences)))
    wanted = cells(places(given.data, given.divisions, defences, given.seeds), protocol, EXPERIMENTS)
    left = wanted if given.again else unfinished(wanted)
    out = Path(given.out)
    of = {cell.hash: place for place, cell in left.items()}

    def keep(event: SweepEvent) -> None:
        if isinstance(event, CellFinished):
            collect({of[event.cell.hash]: event.cell}, out)

    try:
        if left:
            with SweepConsole() as console:
                bench(sweep(left), out, console, keep, workers=given.workers)
    except KeyboardInterrupt:
        sys.exit(f"stopped; the same command goes on, with --out {given.out}")
    finally:
        collect(left, out)
        # In a process of its own, whose TensorFlow has one thread.
        subprocess.run([sys.executable, str(Path(__file__).with_name("prediction.py"))], check=True)
        write()


if __name__ == "__main__":
    main()
