import numpy as np
import pytest

from fedrobust.report.base91 import ALPHABET, encode


def decoded(text, length):
    """Return the bytes of `text`."""
    place = np.zeros(128, np.uint16)
    place[list(ALPHABET)] = np.arange(91)
    low, high = place[np.frombuffer(text.encode("ascii"), np.uint8)].reshape(-1, 2).T
    bits = np.unpackbits((low + 91 * high).astype(">u2").view(np.uint8)).reshape(-1, 16)[:, 3:]
    return np.packbits(bits.ravel())[:length].tobytes()


@pytest.mark.parametrize("length", [0, 1, 2, 12, 13, 14, 1000])
def test_what_is_encoded_comes_back(length):
    data = np.random.default_rng(length).bytes(length)
    text = encode(data)
    assert decoded(text, length) == data
    assert len(text) == 2 * -(-8 * length // 13)


def test_no_character_means_anything_to_html():
    assert len(set(ALPHABET)) == 91
    assert not set(ALPHABET) & set(b'<&" \n\r\t')
