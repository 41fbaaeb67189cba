"""The command that goes on can be pasted into a shell."""

import pytest

from fedrobust.complaints import complaints


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyboardInterrupt(), "stopped"),
        (OSError(28, "No space left on device", "a b/result.json"), "No space left"),
    ],
)
def test_a_folder_with_a_space_is_quoted(error, said, capsys):
    with pytest.raises(SystemExit), complaints(lambda: "a b"):
        raise error
    told = capsys.readouterr().err
    assert said in told
    assert told.endswith("; go on with: fedrobust run --resume 'a b'\n")
