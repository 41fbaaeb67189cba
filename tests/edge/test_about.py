"""What a file says of itself is read without TensorFlow and without this project."""

import json
import zipfile

import numpy as np
import pytest

from fedrobust.edge.about import About, read_about
from fedrobust.edge.interpreter import Interpreter, LiteRTFileError

ABOUT = About(("cup", "mug, large", "naïve"), (5, 4, 3), True, "net", "dishes", "jpeg(quality=50)")


def test_labels_and_input_come_back_from_every_file(exported):
    for path in exported.values():
        about = read_about(path)
        assert about.labels == ("small", "large", "no disc")
        assert (about.image_shape, about.multilabel, about.data) == ((28, 28, 1), False, "discs")


def test_the_standard_library_reads_it(exported):
    with zipfile.ZipFile(exported["int8"]) as archive:
        assert archive.testzip() is None
        assert archive.read("labels.txt").decode() == "small\nlarge\nno disc\n"
        content = json.loads(archive.read("about.json"))
    assert content["labels"] == ["small", "large", "no disc"]
    assert content["input"]["shape"] == [28, 28, 1]
    assert (content["input"]["range"], content["notice"]) == ([0, 1], "no medical device")


def test_the_model_before_it_is_the_same(study, exported, bare, tmp_path):
    path = tmp_path / "bare.tflite"
    path.write_bytes(bare(exported["float32"]))
    assert read_about(path) is None
    np.testing.assert_array_equal(
        Interpreter.open(path).logits(study.images[:5]),
        Interpreter.open(exported["float32"]).logits(study.images[:5]),
    )


def test_equal_contents_give_equal_bytes_and_everything_comes_back(tmp_path):
    path = tmp_path / "any.tflite"
    path.write_bytes(ABOUT.behind(b"model" * 100))
    assert ABOUT.behind(b"model" * 100) == path.read_bytes()
    assert read_about(path) == ABOUT
    assert ABOUT.lines().splitlines() == ["cup", "mug, large", "naïve"]
    assert len(About(("one\ntwo", "three"), (1, 1, 1)).lines().splitlines()) == 2


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (b"no json", "damaged"),
        (b"[]", "TypeError"),
        (b'{"labels": ["a"]}', "KeyError"),
        (json.dumps(ABOUT.to_json() | {"labels": []}).encode(), "names are texts"),
        (json.dumps(ABOUT.to_json() | {"labels": [1, 2]}).encode(), "names are texts"),
        (
            json.dumps(ABOUT.to_json() | {"input": ABOUT.to_json()["input"] | {"range": [0, 255]}}).encode(),
            "range",
        ),
        (b" " * (2**20 + 1), "1,048,577 bytes; allowed: 1,048,576"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, member, said):
    path = tmp_path / "any.tflite"
    path.write_bytes(b"model")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("about.json", member)
    with pytest.raises(LiteRTFileError, match=said):
        read_about(path)


def test_a_damaged_compressed_member_is_refused(tmp_path):
    path = tmp_path / "any.tflite"
    path.write_bytes(b"model")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("about.json", json.dumps(ABOUT.to_json()))
        place = archive.getinfo("about.json").header_offset
    content = bytearray(path.read_bytes())
    start = place + 30 + len("about.json")
    content[start : start + 20] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(LiteRTFileError, match=r"its about\.json is damaged"):
        read_about(path)


def test_other_archives_and_files_say_nothing(tmp_path):
    path = tmp_path / "any.tflite"
    path.write_bytes(b"model")
    assert read_about(path) is None
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other.txt", "text")
    assert read_about(path) is None
