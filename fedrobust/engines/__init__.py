"""Carriers of the messages between server and clients: threads, Ray, and Flower's own."""

import os

# Ray reads these when it is first imported, by whichever module: so they are set before any module of this package. A
# driver that `uv run` started would have every worker started by `uv run`, too, in a folder of its own.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
