"""Record what the golden check compares with: ``make golden``, after a change that is meant to change results.

python tests/golden/record.py            # records every case
python tests/golden/record.py rules      # records one
python tests/golden/record.py --compare  # records nothing, prints what differs
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from cases import CASES
from comparison import differences, machine

FOLDER = Path(__file__).parent


def made(case: str, folder: Path) -> Any:
    """Return what a case makes in `folder`, as JSON reads it again."""
    return json.loads(json.dumps(CASES[case].run(folder)))


def golden(case: str) -> dict[str, Any]:
    """Return what was recorded of a case: ``machine`` and ``document``."""
    recorded: dict[str, Any] = json.loads((FOLDER / f"{case}.json").read_text(encoding="utf-8"))
    return recorded


def main() -> int:
    """Record or compare the cases named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="case", help="all if none is named")
    parser.add_argument("--compare", action="store_true", help="to the bit, whatever the machine")
    given = parser.parse_args()
    from fedrobust.runtime import start_tensorflow

    start_tensorflow(workers=2)
    lines = []
    for case in given.cases or CASES:
        with tempfile.TemporaryDirectory() as folder:
            document = made(case, Path(folder))
        if given.compare:
            found = list(differences(golden(case)["document"], document))
            lines += [f"{case}: {line}" for line in found]
            print(f"{case}: {len(found)} differences", flush=True)
        else:
            text = json.dumps({"machine": machine(), "document": document}, indent=1, sort_keys=True)
            (FOLDER / f"{case}.json").write_text(text + "\n", encoding="utf-8")
            print(f"{case}: recorded", flush=True)
    print(*lines[:100], sep="\n")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
