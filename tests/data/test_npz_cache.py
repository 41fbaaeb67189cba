import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fedrobust.data import npz, npz_cache
from fedrobust.data.dataset import DataError, Dataset
from fedrobust.data.npz import read_npz
from fedrobust.data.npz_cache import CacheNotice, cache_folder, remembered
from fedrobust.temporary import temporary_folder


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """A cache of its own, and a size from which the test's files are large."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("FEDROBUST_CACHE", str(folder))
    monkeypatch.setattr(npz_cache, "LARGE", 10_000)
    return folder


@pytest.fixture
def own(tmp_path, draw) -> Path:
    path = tmp_path / "own.npz"
    write(path, draw)
    return path


def write(path, draw, **changes):
    arrays = {}
    for split, number in (("train", 40), ("val", 10), ("test", 10)):
        arrays[f"{split}_images"] = draw.integers(0, 256, (number, 16, 16), np.uint8)
        arrays[f"{split}_labels"] = np.arange(number, dtype=np.uint8)[:, None] % 2
    np.savez_compressed(path, **{**arrays, **changes})


def is_mapped(array: np.ndarray | None) -> bool:
    while array is not None and not isinstance(array, np.memmap):
        array = array.base
    return isinstance(array, np.memmap)


def test_a_large_file_is_mapped_and_is_the_same_data_set(own, cache, monkeypatch):
    large = read_npz(own)
    assert is_mapped(large.train.images)
    assert large.train.images.shape == (40, 16, 16, 1)
    again = read_npz(own)
    monkeypatch.setattr(npz_cache, "LARGE", 10**9)
    small = read_npz(own)
    assert not is_mapped(small.train.images)
    for name, split in small.splits.items():
        np.testing.assert_array_equal(split.images, large.splits[name].images)
        np.testing.assert_array_equal(split.labels, again.splits[name].labels)
    assert small.digest == large.digest == again.digest
    rows = large.train.images[np.array([3, 1])]
    assert not is_mapped(rows)
    assert not list(cache.glob(".unpacking-*"))


def test_what_is_known_of_a_file_is_found_out_once_for_each_version_of_it(own, cache, draw):
    asked = []

    def find_out():
        asked.append(1)
        return "fact"

    assert [remembered(own, "fact", find_out) for _ in range(3)] == ["fact"] * 3
    assert len(asked) == 1
    first = read_npz(own)
    write(own, draw)
    os.utime(own, ns=(1, 1))
    assert remembered(own, "fact", find_out) == "fact"
    assert len(asked) == 2
    assert read_npz(own).digest != first.digest


def test_of_a_small_file_nothing_is_kept(own, cache, monkeypatch):
    monkeypatch.setattr(npz_cache, "LARGE", 10**9)
    read_npz(own)
    assert remembered(own, "fact", lambda: "fact") == "fact"
    assert not cache.exists()


UNPACK = """
import sys
from pathlib import Path
from fedrobust.data import npz_cache
from fedrobust.data.npz import read_npz
npz_cache.LARGE = 10_000
print(read_npz(Path(sys.argv[1])).digest)
"""


def test_processes_that_unpack_at_once_end_well(own, cache):
    command = [sys.executable, "-c", UNPACK, str(own)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    digests = {process.communicate(timeout=120)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert digests == {read_npz(own).digest + "\n"}
    assert not list(cache.glob(".unpacking-*"))


def test_leftovers_of_a_killed_process_are_not_taken_for_a_whole(own, cache):
    cache.mkdir(parents=True)
    killed = cache / ".unpacking-abcdefgh"
    killed.mkdir()
    (killed / "train_images.npy").write_bytes(b"half")
    with temporary_folder(".unpacking-", cache) as held:
        killed.mkdir(exist_ok=True)
        assert isinstance(read_npz(own), Dataset)
        assert not killed.exists()
        assert held.exists(), "a process is still at it"


def test_without_a_cache_the_images_are_held_in_memory_and_it_is_said(own, cache, monkeypatch):
    cache.write_text("a file where the folder should be")
    with pytest.warns(CacheNotice, match="every process holds it in memory. Set FEDROBUST_CACHE"):
        dataset = read_npz(own)
    assert not is_mapped(dataset.train.images)


def test_damage_and_pickles_are_refused_as_in_a_small_file(own, cache, draw):
    write(own, draw, train_images=np.array([None] * 40))
    with pytest.raises(DataError, match="train_images holds pickled objects"):
        read_npz(own)
    write(own, draw)
    content = bytearray(own.read_bytes())
    content[len(content) // 3] ^= 0xFF
    own.write_bytes(content)
    with pytest.raises(DataError, match="truncated or damaged"):
        read_npz(own)
    assert not cache_folder(own).exists()


def test_files_whose_names_hold_dots_are_told_apart(tmp_path, cache, draw):
    first, second = tmp_path / "set.v1.npz", tmp_path / "set.v2.npz"
    write(first, draw)
    write(second, draw)
    assert read_npz(first).digest != read_npz(second).digest


def test_a_file_replaced_while_it_is_read_does_not_get_the_old_ones_digest(own, cache, draw, monkeypatch):
    count = npz.class_count

    def replaced(path, splits):
        write(path, draw)
        return count(path, splits)

    with monkeypatch.context() as patch:
        patch.setattr(npz, "class_count", replaced)
        old = read_npz(own)
    new = read_npz(own)
    assert not np.array_equal(old.train.images, new.train.images)
    assert old.digest != new.digest


@pytest.mark.parametrize("spoil", [Path.unlink, lambda file: file.write_bytes(file.read_bytes()[:500])])
def test_a_damaged_cache_is_unpacked_anew(own, cache, spoil):
    digest = read_npz(own).digest
    spoil(cache_folder(own) / "train_images.npy")
    again = read_npz(own)
    assert is_mapped(again.train.images)
    assert npz_cache.remembered(own, "afresh", lambda: npz.digest(*again.splits.values())) == digest


def test_an_unpacked_file_is_open_to_other_users_of_the_cache(own, cache):
    read_npz(own)
    assert cache_folder(own).stat().st_mode & 0o777 == 0o755


def test_a_member_that_is_not_named_npy_is_read_as_in_a_small_file(own, cache, tmp_path):
    other = tmp_path / "other.npz"
    with zipfile.ZipFile(own) as archive, zipfile.ZipFile(other, "w") as changed:
        for name in archive.namelist():
            changed.writestr(
                name.removesuffix(".npy") if name.startswith("train") else name, archive.read(name)
            )
    assert read_npz(other).digest == read_npz(own).digest
