import os

import pytest

from fedrobust.edge.noise import notable, without_noise


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


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("I0000 00:00:17 port.cc:153] oneDNN", False),
        ("W0000 00:00:17 tf_tfl.cc:1] Ignored output_format.", False),
        ("W0000 00:00:17 tf_tfl.cc:1] Ignored drop_control_dependency.", False),
        ("W0000 00:00:17 tf_tfl.cc:1] This operation is slow", True),
        ("WARNING: All log messages before absl::InitializeLog() is called", False),
        ("WARNING: another", True),
        ("E0000 00:00:17 fully_quantize: 0", True),
        ("fully_quantize: 0, inference_type: 6", False),
    ],
)
def test_only_lines_that_ask_nothing_of_the_user_are_left_out(line, kept):
    assert notable(f"before\n{line}\nafter\n") == f"before\n{line if kept else ''}{chr(10) * kept}after\n"
    assert notable(line) == (line if kept else "")
