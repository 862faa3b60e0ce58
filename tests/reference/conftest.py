"""Fixtures: the clusters, which are up for the whole run, and what a failed test shows."""
import pytest

from ground import FIGURES, Ground


def pytest_addoption(parser):
    parser.addoption("--record", action="store_true", help="keep what lives, for the unit tests")
    parser.addoption("--keep", action="store_true", help="leave the clusters up and the folder there")


@pytest.fixture(scope="session")
def ground(tmp_path_factory, request):
    made = Ground(tmp_path_factory.mktemp("reference"))
    try:
        made.begin()
        yield made
    finally:
        if request.config.getoption("--keep"):
            print(f"\nkept: {made.folder} and the clusters {', '.join(made.clusters)}")
        else:
            made.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows what the comparison and the collector said last."""
    report = (yield).get_result()
    account = getattr(item.funcargs.get("pilot"), "account", None)
    if report.when == "call" and report.failed and account:
        report.sections.append(("pilotgate", account()))


def pytest_terminal_summary(terminalreporter):
    for line in FIGURES:
        terminalreporter.write_line(line)
