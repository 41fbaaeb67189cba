"""DICOM files: rescale, window, MONOCHROME1, frames."""

from pathlib import Path

import numpy as np
import pytest

from fedrobust.data.importing.decode import decode
from fedrobust.data.importing.dicom import INVERTED, NO_WINDOW, OWN_WINDOW, PALETTE
from fedrobust.data.importing.entry import ImageError

pydicom = pytest.importorskip("pydicom")

STORED = np.array([[0, 1000, 2000, 4095]], np.uint16)


@pytest.fixture
def written(tmp_path):
    """Return a function that writes a DICOM file with further attributes, and returns its path."""

    def write(pixels=STORED, name="a", **attributes):
        meta = pydicom.dataset.FileMetaDataset()
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
        meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        file = pydicom.dataset.FileDataset(name, {}, file_meta=meta, preamble=b"\0" * 128)
        file.PhotometricInterpretation = "MONOCHROME2"
        file.SamplesPerPixel, file.PixelRepresentation = 1, 0
        file.BitsAllocated, file.BitsStored, file.HighBit = 16, 12, 11
        if pixels is not None:
            file.Rows, file.Columns = pixels.shape[:2]
            file.PixelData = pixels.tobytes()
        for key, value in attributes.items():
            setattr(file, key, value)
            if value is None:
                delattr(file, key)
        file.save_as(tmp_path / name, enforce_file_format=True)
        return tmp_path / name

    return write


def test_without_a_window_the_stored_bits_are_black_and_white(written):
    found = decode(written())  # recognised by its preamble
    assert found.pixels.tolist() == [[0, 62, 125, 255]]
    assert found.traits == (NO_WINDOW,)


def test_values_are_rescaled_and_shown_in_the_files_own_window(written):
    path = written(RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=[40, 500], WindowWidth=[400, 2000])
    found = decode(path)
    # PS3.3 C.11.2.1.2.1: ((x - (c - 0.5)) / (w - 1) + 0.5) * 255, x = -1024, -24, 976, 3071
    expected = round(((-24 - 39.5) / 399 + 0.5) * 255)
    assert found.pixels.tolist() == [[0, expected, 255, 255]]
    assert found.traits == (OWN_WINDOW,)


def test_it_is_shown_as_pydicom_shows_it(written):
    path = written(RescaleSlope=2, RescaleIntercept=-50, WindowCenter=2000, WindowWidth=3000)
    file = pydicom.dcmread(path)
    shown = pydicom.pixels.apply_voi_lut(pydicom.pixels.apply_modality_lut(file.pixel_array, file), file)
    low, high = -50, 2 * 4095 - 50
    assert np.abs(decode(path).pixels - (shown - low) / (high - low) * 255).max() <= 0.5


def test_a_window_of_the_user_goes_first(written):
    path = written(RescaleSlope=1, RescaleIntercept=-1000, WindowCenter=40, WindowWidth=400)
    assert decode(path, (0, 1000)).pixels.tolist() == [[0, 0, 255, 255]]


def test_monochrome1_is_inverted(written):
    found = decode(written(PhotometricInterpretation="MONOCHROME1"))
    assert found.pixels.tolist() == [[255, 193, 130, 0]]
    assert found.traits == (NO_WINDOW, INVERTED)


def test_a_palette_is_looked_up(written):
    table = np.zeros((2, 3), np.uint16)
    table[1] = 0xFF00, 0x8000, 0x1000
    path = written(
        np.array([[0, 1]], np.uint8),
        PhotometricInterpretation="PALETTE COLOR",
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        **{f"{colour}PaletteColorLookupTableDescriptor": [2, 0, 16] for colour in ("Red", "Green", "Blue")},
        **{
            f"{colour}PaletteColorLookupTableData": table[:, channel].tobytes()
            for channel, colour in enumerate(("Red", "Green", "Blue"))
        },
    )
    found = decode(path)
    assert found.pixels.tolist() == [[[0, 0, 0], [255, 128, 16]]]
    assert found.traits == (PALETTE,)


def test_a_compressed_file_of_a_scanner_is_decoded():
    """JPEG lossless and JPEG-LS are decoded by gdcm; both files hold the same image as pydicom's uncompressed one."""
    pytest.importorskip("gdcm")
    plain, compressed = (
        decode(Path(pydicom.data.get_testdata_file(name, download=False)))
        for name in ("MR_small.dcm", "MR_small_jpeg_ls_lossless.dcm")
    )
    assert np.array_equal(plain.pixels, compressed.pixels)


def test_colours_are_rgb(written):
    rgb = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    path = written(
        rgb,
        PhotometricInterpretation="RGB",
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
    )
    assert np.array_equal(decode(path).pixels, rgb)


@pytest.mark.parametrize(
    ("pixels", "attributes", "message"),
    [
        (np.stack([STORED, STORED]), {"NumberOfFrames": 2, "Rows": 1, "Columns": 4}, "DICOM of 2 frames"),
        (None, {"Modality": "SR"}, r"DICOM without an image \(SR\)"),
        (STORED, {"Rows": 90}, "DICOM pixels cannot be decoded"),
        (STORED // 8, {}, r"without a window, with values from 0 to 511 of 0 to 4095: .*--window LOW:HIGH"),
        (STORED, {"PhotometricInterpretation": None}, "DICOM without PhotometricInterpretation"),
    ],
)
def test_what_is_no_single_image_is_refused(written, pixels, attributes, message):
    with pytest.raises(ImageError, match=message):
        decode(written(pixels, **attributes))


def test_another_file_with_dicoms_extension_is_refused(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"hello" * 100)
    with pytest.raises(ImageError, match="not a DICOM file"):
        decode(tmp_path / "a.dcm")


def test_without_pydicom_the_extra_is_named(written, monkeypatch):
    path = written()
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(ImageError, match=r"pip install 'fedrobust\[dicom\]'"):
        decode(path)
