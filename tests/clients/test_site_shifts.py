"""What a study only simulates is refused by clients with images of their own, and by no others."""

from types import SimpleNamespace

import pytest

from clients.app import _client, check_real
from fedrobust.data.shifts import SiteShifts
from fedrobust.errors import ConfigError

HOSPITAL = SimpleNamespace(node_config={"partition-id": 1, "data-path": "/data/mine.npz"})


def study(malicious=(), shifts=(), availability=()):
    return SimpleNamespace(
        schedule=SimpleNamespace(malicious=malicious),
        site_shifts=SiteShifts.of(list(shifts), clients=2),
        experiment=SimpleNamespace(
            data=SimpleNamespace(site_shifts=shifts),
            federation=SimpleNamespace(availability=availability),
            poisoning=SimpleNamespace(attack="sign-flip"),
        ),
    )


@pytest.mark.parametrize(
    ("simulated", "reason"),
    [
        (
            {"shifts": ("blur",)},
            r"data.site-shifts = \['blur'\].*has its own images \(data-path\); take it out",
        ),
        (
            {"availability": ("0: dropout",)},
            r"federation.availability = \['0: dropout'\].*has its own images.*out$",
        ),
        (
            {"malicious": (0, 1)},
            r'poisoning.attack = "sign-flip": client 1 would attack, but .*own.*; set "none"',
        ),
    ],
)
def test_a_hospital_with_its_own_images_refuses_what_is_simulated(simulated, reason):
    with pytest.raises(ConfigError, match=reason):
        _client(study(**simulated), HOSPITAL)


def test_a_hospital_trains_honestly_where_others_would_attack():
    check_real(study(malicious=(0,)), 1)
