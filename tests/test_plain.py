"""Texts and data of any origin, made fit to be shown and written."""

import json
import math

import numpy as np
import pytest

from fedrobust.plain import MOST_DEPTH, MOST_STRING, plain, plain_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("disk full", "disk full"),
        ("Zugriff verweigert: ‹Ärzte› 日本", "Zugriff verweigert: ‹Ärzte› 日本"),
        ("a\r\n\tb\x00c", "a b c"),
        ("\x1b[2J\x1b[31;1mred\x1b[0m", "red"),
        ("\x1b]0;title\x07rest", "rest"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPdevice\x1b\\x", "x"),
        ("\x9b2Jx\x9d0;title\x9cy", "xy"),
        ("\x1bcx", "x"),
        ("x\x1b", "x"),
        ("\ud800lone", "lone"),
        ("a\u202eb\u200bc\u2066d", "a b c d"),
        ("a\u2028b\u2029c\x85d", "a b c d"),
        ("", ""),
    ],
)
def test_a_text_is_one_printable_line(text, shown):
    assert plain_text(text) == shown


def test_a_text_is_cut_and_says_so():
    assert plain_text("x" * 301) == "x" * 299 + "…"
    assert plain_text("x" * 300) == "x" * 300
    assert plain_text("ab" * 20_000_000, 10) == "ababababa…"
    assert plain_text("\x1b[31m" * 10_000 + "x", 10).endswith("…"), "something is left out, and it says so"


@pytest.mark.parametrize("seed", range(20))
def test_any_text_can_be_printed_and_encoded(seed):
    draw = np.random.default_rng(seed)
    codes = draw.choice(
        [0x1B, 0x5B, 0x9B, 0x41, 0xD800, 0x202E, 0x10FFFF, 10, *draw.integers(0, 0x110000, 50)], 500
    )
    shown = plain_text("".join(map(chr, codes)))
    assert shown.isprintable()
    shown.encode()


def test_what_json_cannot_hold_is_made_plain():
    deep: list = []
    for _ in range(MOST_DEPTH + 100):
        deep = [deep]
    value = {
        "nan": math.nan,
        "infinite": [-math.inf, np.float32(np.inf)],
        "numbers": (np.float64(0.5), np.int64(3), np.bool_(True), np.arange(3)),
        "huge": 10**400,
        "long": "x" * 10**6,
        "lone": "\ud800",
        1: object(),
        None: b"bytes",
        "deep": deep,
    }
    found = json.loads(json.dumps(plain(value), allow_nan=False))
    assert found["nan"] is None
    assert found["infinite"] == [None, None]
    assert found["numbers"] == [0.5, 3, True, [0, 1, 2]]
    assert found["huge"] is None
    assert len(found["long"]) == MOST_STRING
    assert (found["lone"], found["1"], found["None"]) == ("?", "a object", "a bytes")


def test_plain_data_stays_as_it_is():
    value = {"a": [1, 2.5, None, True, "text\nof two lines"], "b": {"c": -1}}
    assert plain(value) == value


def test_data_that_holds_itself_comes_to_an_end():
    value: dict = {}
    value["itself"] = value
    json.dumps(plain(value), allow_nan=False)
