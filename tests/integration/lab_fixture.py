"""The fixture `lab` and its hooks, for conftest.py here and in other folders: a pilot's processes in a folder of the
test's own, ended whatever happens."""
import signal

import pytest

from lab import Lab


def pytest_configure():
    """An end by SIGTERM is one in order: fixtures are ended as after an interrupt."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call":
        item.failed = report.failed


@pytest.fixture
def lab(tmp_path, request):
    made = Lab(tmp_path)
    try:
        yield made
    finally:
        made.close()
        if getattr(request.node, "failed", True):
            made.tell()
