"""Print the heatmaps of a sweep as Markdown tables.

fedrobust bench experiments/poisoning.toml --out here
python experiments/tables.py here
"""

import sys

from fedrobust.sweeps.heatmaps import facets
from fedrobust.sweeps.results import Results


def main() -> None:
    rows = [row for row in Results.open(sys.argv[1]).rows() if row.status == "finished"]
    for facet in facets(rows):
        print(f"\n## {facet.name}" if facet.name else "")
        for heatmap in facet.heatmaps:
            print(f"\n{heatmap.title}\n")
            print(f"| attack | {' | '.join(heatmap.columns)} |")
            print("| --- |" + " --- |" * len(heatmap.columns))
            for attack, tiles in heatmap.rows:
                cells = (
                    f"{tile.text} ({'; '.join(tile.notes)})" if tile.notes else tile.text for tile in tiles
                )
                print(f"| {attack} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
