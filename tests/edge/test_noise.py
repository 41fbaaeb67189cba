import os

import pytest

from fedrobust.edge.noise import without_noise


def test_routine_lines_are_dropped_and_others_pass(capfd):
    with without_noise():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\nERROR: no such operation\n")
        assert capfd.readouterr().err == ""
    assert capfd.readouterr().err == "ERROR: no such operation\n"


def test_after_an_exception_nothing_is_held_back(capfd):
    @without_noise()
    def fail():
        os.write(2, b"fully_quantize: 0\n")
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fail()
    assert capfd.readouterr().err == "fully_quantize: 0\n"


def test_nesting_gives_the_descriptor_back(capfd):
    with without_noise(), without_noise():
        os.write(2, b"inner\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "inner\nafter\n"
