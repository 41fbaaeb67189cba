"""Engines, which carry messages between server and clients: threads, Ray, and Flower's own grids."""

import os

# Ray reads these variables at its first import, so they are set before any module of this package is imported. Without
# the second, a driver started by `uv run` would start every worker by `uv run`, in an environment of its own.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
