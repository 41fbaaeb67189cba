"""What ``fedrobust bench --leaderboard`` and ``--break`` do.

What is needed is imported inside of functions, so that ``--help`` is fast.
"""

from collections.abc import Sequence
from pathlib import Path

import typer

from fedrobust.cli.output import sweep_listener, write_json
from fedrobust.complaints import complaints, fail
from fedrobust.runs.codec import to_json


def show_leaderboard(paths: Sequence[Path], out: str, footnote: str, quiet: bool, json: bool) -> None:
    """Write claims and their page, and print where they are."""
    from fedrobust import api
    from fedrobust.leaderboard.page import flags

    with complaints(lambda: ""):
        board = api.write_leaderboard(paths, out, footnote)
    if json:
        write_json({"page": str(board.page), "claims": [to_json(claim) for claim in board.claims]})
        return
    if not quiet:
        for claim in board.claims:
            worst = claim.figures.get("worst balanced_accuracy")
            held = f"worst {100 * worst.mean:.1f}% balanced" if worst else "no balanced accuracy"
            count = len(flags(claim, board.claims))
            flagged = f"  {count} flag{'s' * (count > 1)}" if count else ""
            typer.echo(f"{claim.name}:  {held}{'  broken' if claim.broken else ''}{flagged}")
    typer.echo(board.page)


def submit_break(
    claim: Path, images: Path | None, client: str, model: str, out: str, workers: int, quiet: bool, json: bool
) -> None:
    """Check a break of a claim, and print what was found."""
    from fedrobust import api
    from fedrobust.leaderboard.page import told

    if (images is None) == (not client):
        fail("--break CLAIM needs either --images FILE.npz or --client my_module:Attack")
    with (
        sweep_listener(quiet, json) as listener,
        complaints(lambda: listener.folder),
    ):
        after = api.break_claim(
            claim, listener, images=images or "", client=client, model=model, out=out, workers=workers
        )
    one = after.breaks[-1]
    if json:
        write_json(to_json(one))
        return
    if not quiet:
        typer.echo(f"{'breaks the claim' if one.holds else 'does not break the claim'}: {told(one)['what']}")
    typer.echo(claim)
