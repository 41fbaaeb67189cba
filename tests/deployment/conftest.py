import shutil

import pytest
from deployed import SITES, hospital, written

from fedrobust.deployment.folders import Deployment


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """The files of three hospitals and of the server."""
    folder = tmp_path_factory.mktemp("data")
    for seed, name in enumerate((*SITES, "server")):
        hospital(folder / f"{name}.npz", seed)
    return folder


@pytest.fixture(scope="session")
def deployed(data, tmp_path_factory):
    """A deployment that no test changes."""
    return written(data, tmp_path_factory.mktemp("deployed") / "hospitals", hosts=("fl.example.org",))


@pytest.fixture
def deployment(deployed, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(deployed.folder, tmp_path / "hospitals")
    return Deployment.read(tmp_path / "hospitals")
