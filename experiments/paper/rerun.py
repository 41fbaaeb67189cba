"""Run one cell again, and compare its bits and figures with ``results/``.

    python experiments/paper/rerun.py table1/breastmnist/mobilenetv2-file/plain/seed-0

The model's digest is that of its weights. On another processor, or with other packages, sums may have another order and
bits may differ: the figures are then compared, and differences are printed.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from cells import named, paper
from collect import read, record

import fedrobust
from fedrobust.runtime import claim_process
from fedrobust.terminal.run import ConsoleListener


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cell", help="its name, as in the last column of RESULTS.md")
    parser.add_argument("--out", default="", help="its run folder; a temporary one by default")
    arguments = parser.parse_args()
    cells = named(paper())
    if arguments.cell not in cells:
        sys.exit(f"{arguments.cell}: no such cell; their names are in the last columns of RESULTS.md")
    cell = cells[arguments.cell]
    known = {one["cell"]: one for one in read(cell.experiment.name)}[arguments.cell]
    if known["status"] != "finished":
        sys.exit(f"{arguments.cell} is {known['status']} in results/: there is nothing to compare with")
    claim_process()
    with tempfile.TemporaryDirectory() as scratch, ConsoleListener() as listener:
        folder = Path(arguments.out or scratch)
        # One worker, as in the sweep.
        run = folder / "cells" / cell.hash
        fedrobust.run(cell.experiment, listener, out=run, engine__workers=1, output__report=False)
        found = record(arguments.cell, cell, run, "")
    differ = [key for key in known if key not in ("seconds", "environment") and known[key] != found[key]]
    if not differ:
        print(f"the same bits: weights {found['digest'][:16]}, and every figure")
        return
    print(f"not the same: {', '.join(differ)}")
    for key in differ:
        print(f"  {key}: {known[key]} in results/, {found[key]} here")
    print(f"results/: {known['environment']}; here: {found['environment']}")
    sys.exit(1)


if __name__ == "__main__":
    main()
