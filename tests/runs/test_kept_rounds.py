"""The kept global models of a run."""

import numpy as np
import pytest

from fedrobust.models.layout import Weights
from fedrobust.runs.folder import RunFolder, RunFolderError
from fedrobust.runs.kept_rounds import KeptRounds
from server.callbacks import FinishedRound, KeptRound


def model(value):
    return Weights(np.full(3, value, np.float32), np.full(2, -value, np.float32))


def test_every_third_round_and_the_last_are_kept_to_the_bit(tmp_path):
    folder = RunFolder(tmp_path)
    keep = KeptRound(folder, every=3, rounds=8)
    for number in range(1, 9):
        assert keep(FinishedRound(number, model(number), None)) == {}
    kept = KeptRounds(folder)
    assert kept.numbers == (3, 6, 8)
    assert [kept.weights(number).digest() for number in kept.numbers] == [
        model(3).digest(),
        model(6).digest(),
        model(8).digest(),
    ]


def test_nothing_is_kept_unless_asked(tmp_path):
    KeptRound(RunFolder(tmp_path), every=0, rounds=1)(FinishedRound(1, model(1), None))
    assert KeptRounds(RunFolder(tmp_path)).numbers == ()
    assert not list(tmp_path.iterdir())


def test_a_damaged_or_missing_file_is_named(tmp_path):
    kept = KeptRounds(RunFolder(tmp_path))
    path = kept.save(4, model(1))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(bytes(raw))
    for number in (4, 5):
        with pytest.raises(RunFolderError, match=r"round-00000[45].*keep-every = 1"):
            kept.weights(number)
