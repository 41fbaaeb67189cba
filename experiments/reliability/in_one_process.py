"""Try mutmut's changes one after another in one pytest session; `mutation.py --in-one-process` starts it.

A process for every change spends its time importing TensorFlow and tracing graphs again. Here mutmut makes the changes,
and its trampolines switch between them while the session goes on: about ten times as fast. The first pass runs every
test on the code as it is, times it, and notes the functions that it reaches; then the tests of each changed function
run, the quickest first, until one fails.

A failure may come of what the change left behind in the process, too: the test that failed is run again on the code as
it is, and where it fails again, the change is "uncertain" and not counted as noticed.
"""

import argparse
import contextlib
import io
import json
import random
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

LONGEST = 120.0
"""Seconds of processor time that the tests of one change may take, and a tenth of the seconds on the clock.

A change that hangs is ended then; one that is only tried beside other work is not.
"""


def drawn(names: Sequence[str], sample: int, seed: int) -> list[str]:
    """Return `sample` of the names, drawn without replacement; all of them for 0."""
    return random.Random(seed).sample(names, min(sample or len(names), len(names)))


class OneByOne:
    """A plugin of pytest: the session runs each change's tests instead of every test once.

    Args:
        changes: names of mutmut's mutants, "module.function__mutmut_3".
        switch: turns one of them on; "" for the code as it is, "stats" to count the functions that are called.
        called: returns the functions that were called since it was asked last.
        longest: seconds of processor time for one change.

    Attributes:
        states: "killed", "timeout", "survived", "no tests" or "uncertain" of every change, by its name.
        broken: tests that fail on the code as it is, which are left out.
    """

    def __init__(
        self,
        changes: Sequence[str],
        switch: Callable[[str], None],
        called: Callable[[], set[str]],
        longest: float = LONGEST,
    ):
        self.changes, self._switch, self._called, self._longest = changes, switch, called, longest
        self.states: dict[str, str] = {}
        self.broken: list[str] = []
        self._seconds: dict[str, float] = {}
        self._failed = self._timed_out = False

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Note how long a test takes, and whether it fails."""
        if call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
            self._failed = True
        if call.when == "call":
            self._seconds[item.nodeid] = call.duration

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run every test once, and then those that reach each change."""
        reaching = self._reached(session.items)
        for change in self.changes:
            items = reaching[change.rpartition("__mutmut_")[0]]
            items.sort(key=lambda item: self._seconds.get(item.nodeid, 0.0))
            self.states[change] = self._state(change, items)
        return True

    def _reached(self, items: Sequence[pytest.Item]) -> dict[str, list[pytest.Item]]:
        """Return the tests that reach each function, of those that pass."""
        reaching = defaultdict(list)
        self._switch("stats")
        for item, following in zip(items, [*items[1:], None], strict=True):
            self._failed = False
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            functions = self._called()
            if self._failed:
                self.broken.append(item.nodeid)
                continue
            for function in functions:
                reaching[function].append(item)
        self._switch("")
        return reaching

    def _state(self, change: str, items: Sequence[pytest.Item]) -> str:
        if not items:
            return "no tests"
        self._switch(change)
        noticing = self._first_failing(items)
        timed_out = self._timed_out
        self._switch("")
        if timed_out:
            return "timeout"
        if noticing is None:
            return "survived"
        return "killed" if self._first_failing([noticing]) is None else "uncertain"

    def _first_failing(self, items: Sequence[pytest.Item]) -> pytest.Item | None:
        """Run the tests until one fails, and return that one."""
        self._failed = self._timed_out = False
        # Fixtures are taken down after the last test: none that a change has built is left for the next.
        with self._at_most():
            for item, following in zip(items, [*items[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if self._failed:
                    break
        items[0].session._setupstate.teardown_exact(None)
        return item if self._failed or self._timed_out else None

    @contextlib.contextmanager
    def _at_most(self) -> Iterator[None]:
        def ring(*_: Any) -> None:
            self._timed_out = True
            raise TimeoutError(f"over {self._longest} s")

        limits = (
            (signal.ITIMER_PROF, signal.SIGPROF, self._longest),
            (signal.ITIMER_REAL, signal.SIGALRM, 10 * self._longest),
        )
        before = [signal.signal(number, ring) for _, number, _ in limits]
        for timer, _, seconds in limits:
            signal.setitimer(timer, seconds)
        try:
            # Raised inside of a test, it is a failure of that test; between two tests nobody else catches it.
            with contextlib.suppress(TimeoutError):
                yield
        finally:
            for (timer, number, _), handler in zip(limits, before, strict=True):
                signal.setitimer(timer, 0)
                signal.signal(number, handler)


def made(prefix: str) -> list[str]:
    """Let mutmut write its changes below ``mutants``, and return the names of those whose module begins so."""
    from mutmut.__main__ import create_mutants
    from mutmut.utils.file_utils import copy_also_copy_files, copy_src_dir

    with contextlib.redirect_stdout(io.StringIO()):
        copy_src_dir()
        copy_also_copy_files()
        create_mutants(1)
    metas = [json.loads(path.read_text(encoding="utf-8")) for path in Path("mutants").rglob("*.meta")]
    return sorted(name for meta in metas for name in meta["exit_code_by_key"] if name.startswith(prefix))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("prefix", help="of the modules that are changed")
    parser.add_argument("tests", nargs="+", help="files and folders, as seen from the project")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--names", nargs="+", help="these changes instead of drawn ones")
    parser.add_argument("--out", type=Path, required=True, help="JSON: the states, and what was left out")
    options = parser.parse_args()
    from mutmut.configuration import config
    from mutmut.mutation.trampoline import set_mutant_under_test
    from mutmut.state import state

    set_mutant_under_test("mutant_generation")
    names = made(options.prefix)
    settings = [*config().pytest_add_cli_args, "--rootdir=.", "--tb=no", "-q"]

    def called() -> set[str]:
        functions = set(state()._stats)
        state()._stats.clear()
        return functions

    chosen = drawn(names, options.sample, options.seed)
    if options.names:
        chosen = [name for name in names if name in options.names]
    plugin = OneByOne(chosen, set_mutant_under_test, called)
    with contextlib.chdir("mutants"):
        code = pytest.main([*settings, *options.tests], plugins=[plugin])
    if set(plugin.states) != set(plugin.changes):
        sys.exit(f"the tests did not run to their end: pytest's exit code {code}")
    found = {"of": len(names), "states": plugin.states, "broken": plugin.broken}
    options.out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
