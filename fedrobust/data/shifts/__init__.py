"""Site shifts: what differs at a client's hospital, in scanner, labels or classes; one a module."""

from fedrobust.data.shifts.assigned import SiteShifts
from fedrobust.data.shifts.contract import SITE_SHIFTS, SiteShift

__all__ = ["SITE_SHIFTS", "SiteShift", "SiteShifts"]
