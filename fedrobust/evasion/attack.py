"""The registry of evasion attacks."""

from fedrobust.registry import Registry

ATTACKS = Registry("evasion attack")
