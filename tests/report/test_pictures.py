import base64
import io

import numpy as np
import pytest

from fedrobust.report import pictures

image_module = pytest.importorskip("PIL.Image", reason="an independent PNG decoder")


@pytest.mark.parametrize("channels", [1, 3])
def test_an_independent_decoder_reads_the_same_pixels(channels):
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, channels))
    uri = pictures.data_uri((pixels / 255).astype(np.float32))
    head, body = uri.split(",")
    assert head == "data:image/png;base64"
    read = np.asarray(image_module.open(io.BytesIO(base64.b64decode(body)))).reshape(5, 7, channels)
    np.testing.assert_array_equal(read, pixels)


def test_other_channels_are_refused():
    with pytest.raises(ValueError, match="2 channels"):
        pictures.png(np.zeros((4, 4, 2), np.float32))


def test_the_difference_spans_black_to_white():
    clean = np.full((1, 3, 1), 0.4, np.float32)
    attacked = clean + np.asarray([[[-0.01], [0], [0.01]]], np.float32)
    change = pictures.difference(clean, attacked, 0.01)
    np.testing.assert_allclose(change.ravel(), [0, 0.5, 1], atol=1e-5)
    np.testing.assert_array_equal(pictures.difference(clean, attacked, 0), 0.5)
