import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fedrobust.memoize import memoize


def test_threads_that_ask_together_get_one_thing():
    built = []
    entered = threading.Barrier(4)

    @memoize()
    def build(key: str) -> object:
        built.append(key)
        return object()

    def ask(_: int) -> object:
        entered.wait(10)
        return build("a")

    with ThreadPoolExecutor(4) as pool:
        things = list(pool.map(ask, range(4)))
    assert built == ["a"]
    assert len(set(map(id, things))) == 1


def test_the_least_recently_used_goes_first():
    built = []

    @memoize(keep=2)
    def build(key: str) -> str:
        built.append(key)
        return key

    for key in "abacb":
        build(key)
    assert built == ["a", "b", "c", "b"]


def test_a_failure_is_not_remembered():
    attempts = []

    @memoize()
    def build() -> int:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError("not yet")
        return 3

    with pytest.raises(OSError, match="not yet"):
        build()
    assert build() == 3
