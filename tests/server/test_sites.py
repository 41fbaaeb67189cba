"""The sites of a resumed run, which may be others than before."""

import pytest

from fedrobust.runs.record import SiteRecord
from server.sites import changed, together


def sites(*images):
    names = ("bern", "chur", "genf", "sion")
    return tuple(SiteRecord(client=at, name=names[at], images=count) for at, count in enumerate(images))


@pytest.mark.parametrize(
    ("before", "now", "found", "said"),
    [
        ((70, 80, None), (70, None, None), (70, 80, None), "resumed after round 2 without chur"),
        (
            (70, None, None),
            (75, 80, None),
            (75, 80, None),
            "resumed after round 2 with chur, which took no part before",
        ),
        (
            (70, 80, None),
            (None, None, 90),
            (70, 80, 90),
            "resumed after round 2 without bern and chur, and with genf, which took no part before",
        ),
        ((70, 80, 90), (70, 80, 90), (70, 80, 90), ""),
        ((70, 80, 90), (70, 80), (70, 80, 90), "resumed after round 2 without genf"),
        ((70, 80, None), (70, 80), (70, 80), ""),
        ((None, None), (70, None), (70, None), ""),
    ],
    ids=["gone", "new", "gone and new", "same", "its key is gone", "its key was not used", "nobody before"],
)
def test_who_took_part_before_is_not_forgotten_where_another_takes_its_place(before, now, found, said):
    before, now = sites(*before), sites(*now)
    assert tuple(site.images for site in together(before, now)) == found
    assert changed(before, now, 2) == said


def test_a_simulation_has_no_sites():
    assert together(None, None) is None
    assert changed(None, None, 2) == ""
