import tomllib

import pytest

from fedrobust.report import toml


def test_what_is_written_is_read_back():
    study = {
        "name": 'quo"te \\ \n \x7f \x00 ü',
        "seed": 42,
        "rate": 1e-05,
        "on": True,
        "epsilons": ["0.001", "8/255"],
        "nothing": [],
        "federation": {"clients": 10, "partition": {"method": "iid"}, "a key.with dots": {"": 1}},
        "attacks": [{"name": "fgsm", "steps": 1}, {"name": "pgd"}],
        "empty": {},
    }
    assert tomllib.loads(toml.dumps(study)) == study


def test_none_is_left_out():
    assert tomllib.loads(toml.dumps({"a": None, "b": {"c": None, "d": 1}})) == {"b": {"d": 1}}


def test_what_toml_cannot_hold_is_refused():
    with pytest.raises(TypeError, match="complex"):
        toml.dumps({"a": 1j})
