"""Failures in one line: what an error says first, not what stands around it."""

import pytest

from fedrobust.reasons import NO_REASON, counted, first_reason

GRAPH = """Traceback (most recent call last):
  File "clients/app.py", line 40, in train
    update(weights)
tensorflow.python.framework.errors_impl.InvalidArgumentError: Graph execution error:

Detected at node while/GatherV2_2 defined at (most recent call last):
<stack traces unavailable>
Detected at node while/GatherV2_2 defined at (most recent call last):
<stack traces unavailable>
2 root error(s) found.
  (0) INVALID_ARGUMENT:  indices[3] = 7 is not in [0, 2)
\t [[{{node while/GatherV2_2}}]]
\t [[while/exit/_8/_12]]
  (1) INVALID_ARGUMENT:  indices[3] = 7 is not in [0, 2)
\t [[{{node while/GatherV2_2}}]]
0 successful operations.
0 derived errors ignored. [Op:__inference_update_3144]
"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GRAPH, "InvalidArgumentError: INVALID_ARGUMENT: indices[3] = 7 is not in [0, 2)"),
        (
            "{{function_node __wrapped__GatherV2_device_/job:localhost}} indices[0] = 9 is not in [0, 5) [Op:GatherV2]",
            "indices[0] = 9 is not in [0, 5)",
        ),
        (
            "ResourceExhaustedError: Graph execution error:\n\nDetected at node Conv2D defined at (most recent call "
            "last):\n<stack traces unavailable>\nOOM when allocating tensor with shape[64,32]\n\t [[{{node Conv2D}}]]",
            "ResourceExhaustedError: OOM when allocating tensor with shape[64,32]",
        ),
        (
            "<class 'fedrobust.data.dataset.DataError'>:<'x.npz: no such file'>",
            "DataError: x.npz: no such file",
        ),
        ("Traceback ...\n  file\nOSError: disk full", "OSError: disk full"),
        ("ValueError: one\n\nDuring handling ...\n", "ValueError: one"),
        ("Traceback (most recent call last):\n  File x\n    y()\nKeyError: 'a'\n", "KeyError: 'a'"),
        (
            "Traceback (most recent call last):\n  a\nOSError: first\n\nDuring handling of it:\n\n"
            "Traceback (most recent call last):\n  b\nmy.mod.OwnError: second\nmore",
            "OwnError: second",
        ),
        ("disk \x1b[31mfull\x1b[0m\x07", "disk full"),
        ("  [[{{node a}}]]\n", NO_REASON),
        ("", NO_REASON),
        ("Graph execution error:", NO_REASON),
        ("something:", "something:"),
    ],
)
def test_the_first_line_that_says_something_is_told(text, reason):
    assert first_reason(text) == reason


def test_equal_reasons_stand_once():
    assert counted(["a", "b", "b", "b"]) == [("b", 3), ("a", 1)]
