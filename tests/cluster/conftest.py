"""Fixtures of the scenarios: one lab cluster for all of them, one stage for each file. The suite of two whole
clusters (test_clusters.py) has its own."""
import pytest

from scene import Scene


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    made = Scene(tmp_path_factory.mktemp("scene"))
    try:
        made.begin()
        yield made
    finally:
        made.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed scenario shows what pilotgate and the agents said last."""
    report = (yield).get_result()
    account = getattr(item.funcargs.get("stage"), "account", None)
    if report.when == "call" and report.failed and account:
        report.sections.append(("pilotgate", account()))
