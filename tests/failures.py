"""Which tests failed, for whoever repeats them: a list in the file that FAILED_TESTS names.

It is written at the end of a session that found nothing worse than tests that fail. After a crash
or a mistake in a test file it stays empty, as tests that did not run cannot be repeated.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

VARIABLE = "FAILED_TESTS"
STEPS = ("setup", "call", "teardown")


class Failures:
    """Listens to a session; where tests are spread over processes, to the one that gathers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failed: dict[str, None] = {}
        self._is_whole = True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be read is no test that fails."""
        self._is_whole &= not report.failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A process that died is told as a failure at no step of the test that it was at."""
        if report.failed:
            self._failed[report.nodeid] = None
            self._is_whole &= report.when in STEPS

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.TESTS_FAILED and self._is_whole:
            self._path.write_text("".join(f"{name}\n" for name in self._failed), "utf-8")


def listen(config: pytest.Config) -> None:
    """Listen to this session if somebody asked for it."""
    path = os.environ.get(VARIABLE)
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Failures(Path(path)))
