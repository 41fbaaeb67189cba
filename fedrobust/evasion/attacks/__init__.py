"""Evasion attacks, one a module; `fedrobust.evasion` exports them all."""
