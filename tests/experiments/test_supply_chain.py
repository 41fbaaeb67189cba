"""Licences of what is installed beside the project, and its bill of materials: without a network."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

HERE = Path(__file__).resolve().parents[2] / "experiments/reliability"


@pytest.fixture(scope="module")
def supply_chain():
    sys.path.insert(0, str(HERE))
    import supply_chain

    yield supply_chain
    sys.path.remove(str(HERE))
    sys.modules.pop("supply_chain", None)


@pytest.fixture(scope="module")
def packages(supply_chain):
    return supply_chain.needed()


def test_all_licences_are_allowed(supply_chain, packages):
    assert {"fedrobust", "numpy", "tensorflow", "flwr", "ray"} <= set(packages), "with Flower's extra"
    assert len(packages) > 60
    assert supply_chain.refused(packages) == {}


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({"License": "GPL-3.0"}, False),
        ({"Classifier": ["License :: OSI Approved :: GNU Affero General Public License v3"]}, False),
        ({}, False),
        ({"License-Expression": "MIT"}, True),
        ({"Classifier": ["License :: OSI Approved :: BSD License"]}, True),
        ({"License": "Apache License, Version 2.0\n\nlong text"}, True),
    ],
)
def test_a_licence_that_is_not_allowed_is_told(supply_chain, fields, allowed):
    class About(dict):
        def get_all(self, name):
            return self.get(name)

    package = SimpleNamespace(metadata=About({"Name": "other", **fields}))
    assert (supply_chain.refused({"other": package}) == {}) == allowed


def test_the_bill_of_materials_names_every_package_once_and_what_it_needs(supply_chain, packages):
    bill = supply_chain.sbom(packages)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    references = [each["bom-ref"] for each in (bill["metadata"]["component"], *bill["components"])]
    assert len(references) == len(set(references)) == len(packages)
    assert {each["ref"] for each in bill["dependencies"]} == set(references)
    assert all(set(each["dependsOn"]) <= set(references) for each in bill["dependencies"])
    (own,) = [each for each in bill["dependencies"] if each["ref"].startswith("pkg:pypi/fedrobust@")]
    assert f"pkg:pypi/numpy@{packages['numpy'].version}" in own["dependsOn"]


def test_without_a_network_the_audit_is_skipped_aloud(supply_chain, packages, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    said, found = supply_chain.vulnerabilities(packages, 1.0)
    assert said.startswith("skipped: ")
    assert not found
