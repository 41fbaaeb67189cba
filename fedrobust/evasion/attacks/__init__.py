"""Attacks, one a module; `fedrobust.evasion` names them all."""
