"""Availability of clients: sites that join late, leave, are absent, drop out or are slow; one a module."""

from fedrobust.availability.assigned import Availability
from fedrobust.availability.contract import AVAILABILITY, ClientAvailability

__all__ = ["AVAILABILITY", "Availability", "ClientAvailability"]
