"""Site shifts change the images of simulated clients, and of no others."""

from types import SimpleNamespace

import pytest

from clients.app import _client
from fedrobust.data.shifts import SiteShifts
from fedrobust.errors import ConfigError


def test_a_hospital_with_its_own_images_refuses_a_study_that_would_change_them():
    study = SimpleNamespace(
        schedule=SimpleNamespace(malicious=()),
        site_shifts=SiteShifts.of(["blur"], clients=2),
        experiment=SimpleNamespace(data=SimpleNamespace(site_shifts=("blur",))),
    )
    hospital = SimpleNamespace(node_config={"partition-id": 1, "data-path": "/data/mine.npz"})
    with pytest.raises(ConfigError, match=r"data.site-shifts = \['blur'\].*has its own \(data-path\)"):
        _client(study, hospital)
