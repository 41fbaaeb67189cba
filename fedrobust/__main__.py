"""`python -m fedrobust`."""

from fedrobust.cli import app

app(prog_name="fedrobust")
