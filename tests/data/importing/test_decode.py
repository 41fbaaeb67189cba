"""Formats: what a file's pixels become."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fedrobust.data.importing.decode import INVERTED, ROTATED, TRANSPARENT, decode, of_array, of_pillow
from fedrobust.data.importing.dicom import PALETTE
from fedrobust.data.importing.entry import ImageError

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], axis=2)


def saved(folder, image, name="a.png", **options):
    image.save(folder / name, **options)
    return folder / name


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.pgm"])
def test_grey_of_8_bits_is_kept(tmp_path, name):
    assert np.array_equal(decode(saved(tmp_path, Image.fromarray(GREY), name)).pixels, GREY)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tiff"])
def test_colour_is_kept(tmp_path, name):
    path = saved(tmp_path, Image.fromarray(COLOUR), name, **({"lossless": True} if name == "a.webp" else {}))
    assert np.array_equal(decode(path).pixels, COLOUR)


def test_a_palette_is_looked_up(tmp_path):
    two = Image.fromarray(np.array([[0, 1]], np.uint8))
    two = two.convert("P")
    two.putpalette([10, 20, 30, 200, 100, 0])
    found = decode(saved(tmp_path, two))
    assert found.pixels.tolist() == [[[10, 20, 30], [200, 100, 0]]]
    assert found.traits == (PALETTE,)


def test_transparency_is_shown_on_black_and_opaque_alpha_is_not_mentioned(tmp_path):
    alpha = np.full((3, 4), 255, np.uint8)
    opaque = Image.fromarray(np.dstack([COLOUR, alpha]))
    assert decode(saved(tmp_path, opaque)).traits == ()
    alpha[0, 0] = 0
    found = decode(saved(tmp_path, Image.fromarray(np.dstack([COLOUR, alpha]))))
    assert found.traits == (TRANSPARENT,)
    assert found.pixels[0, 0].tolist() == [0, 0, 0]
    assert np.array_equal(found.pixels[1:], COLOUR[1:])


def test_the_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # the camera was turned: the picture is to be turned by 270 degrees
    found = decode(saved(tmp_path, Image.fromarray(GREY), exif=exif))
    assert np.array_equal(found.pixels, np.rot90(GREY, 3))
    assert found.traits == (ROTATED,)


def test_16_bits_stay_deep_until_black_and_white_are_known(tmp_path):
    deep = GREY.astype(np.uint16) * 200
    path = saved(tmp_path, Image.fromarray(deep))
    assert decode(path).is_deep
    assert np.array_equal(decode(path).pixels, deep)
    assert decode(path, (0, 44000)).pixels.max() == 255
    assert decode(path, (4000, 8000)).pixels[0].tolist() == [0, 0, 255, 255]


def png_of_16_bits(path, pixels):
    """Write a PNG of 16 bits a channel by hand, which Pillow cannot: uint16 (height, width, channels)."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_several_channels_of_16_bits_are_refused_where_half_of_them_would_be_read(tmp_path, channels):
    """12 bits in 16: Pillow reads the upper 8 of them, nearly black."""
    deep = np.full((3, 4, channels), 4000, np.uint16)
    assert decode(png_of_16_bits(tmp_path / "grey.png", deep[..., :1])).pixels.max() == 4000
    path = png_of_16_bits(tmp_path / "several.png", deep)
    for window in (None, (0, 4095)):
        with pytest.raises(ImageError, match="16 bits a channel, in colours or with transparency"):
            decode(path, window)
    with Image.open(path) as opened, pytest.raises(ImageError, match="16 bits a channel"):
        of_pillow(opened)


def tiff(path, pixels, photometric, turned=False):
    """Write a grey TIFF by hand: Pillow saves no deep pixels as WhiteIsZero."""
    (height, width), bits = pixels.shape, 8 * pixels.itemsize
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8)]
    tags += [(274, 6)] if turned else []  # the Exif orientation
    tags += [(277, 1), (278, height), (279, pixels.nbytes)]
    tags += [(339, 3)] if pixels.dtype.kind == "f" else []
    entries = b"".join(
        struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, value) for tag, value in tags
    )
    head = struct.pack("<2sHI", b"II", 42, 8 + pixels.nbytes)
    path.write_bytes(head + pixels.tobytes() + struct.pack("<H", len(tags)) + entries + bytes(4))
    return path


def test_deep_pixels_whose_white_is_zero_are_inverted_as_those_of_8_bits_are(tmp_path):
    deep = np.array([[0, 10], [900, 65535]], "<u2")
    assert decode(tiff(tmp_path / "black.tif", deep, 1)).pixels.tolist() == deep.tolist()
    assert decode(tiff(tmp_path / "black.tif", deep, 1)).traits == ()
    white = tiff(tmp_path / "white.tif", deep, 0)
    assert decode(white).pixels.tolist() == (65535 - deep).tolist()
    assert decode(white).traits == (INVERTED,)
    assert decode(white, (0, 65535)).pixels.tolist() == [[255, 255], [251, 0]]
    turned = decode(tiff(tmp_path / "turned.tif", deep, 0, turned=True))
    assert turned.pixels.tolist() == np.rot90(65535 - deep, 3).tolist()
    assert turned.traits == (ROTATED, INVERTED)
    shallow = np.array([[0, 10], [200, 255]], np.uint8)
    assert decode(tiff(tmp_path / "shallow.tif", shallow, 0)).pixels.tolist() == (255 - shallow).tolist()
    with pytest.raises(ImageError, match="floating-point pixels as WhiteIsZero"):
        decode(tiff(tmp_path / "float.tif", np.ones((2, 2), "<f4"), 0))


def test_float_pixels_need_a_window(tmp_path):
    path = saved(tmp_path, Image.fromarray(GREY.astype(np.float32) - 100), "a.tif")
    with pytest.raises(ImageError, match=r"values from -100 to 120; .*--window LOW:HIGH"):
        decode(path)
    assert decode(path, (-100, 120)).pixels[0, 0] == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty file"),
        (b"hello", "no image format"),
        (None, "damaged"),
        ("frames", "2 frames; allowed: one"),
    ],
)
def test_what_is_no_single_image_is_refused(tmp_path, content, message):
    path = saved(tmp_path, Image.fromarray(np.tile(COLOUR, (20, 20, 1))))
    if content == "frames":
        path = tmp_path / "a.gif"
        frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
        frames[0].save(path, save_all=True, append_images=frames[1:])
    else:
        path.write_bytes(path.read_bytes()[:90] if content is None else content)
    with pytest.raises(ImageError, match=message):
        decode(path)


def test_an_image_of_too_many_pixels_is_refused(tmp_path, monkeypatch):
    path = saved(tmp_path, Image.fromarray(GREY))
    monkeypatch.setattr("fedrobust.data.importing.decode.MOST_PIXELS", 8)
    with pytest.raises(ImageError, match="more pixels than 8"):
        decode(path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 2, 4), np.uint8), r"shape \(2, 2, 4\)"),
        (np.zeros((2, 2), np.float32), "dtype float32; .*numpy.rint"),
        (np.zeros((0, 2), np.uint8), "shape"),
    ],
)
def test_arrays_of_another_kind_are_refused(array, message):
    with pytest.raises(ImageError, match=message):
        of_array(array)
