"""Aggregation rules, one a module; `fedrobust.aggregation` names them all."""
