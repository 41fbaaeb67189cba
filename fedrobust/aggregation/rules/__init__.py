"""Aggregation rules, one a module; `fedrobust.aggregation` exports them all."""
