"""The fixture `lab` of tests/integration, and a table of what was seen at the end."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from lab_fixture import lab, pytest_configure, pytest_runtest_makereport  # noqa: E402,F401

COLUMNS = ["gateway", "calls in flight", "lost: pilotgate", "servers' logs", "sessions lost", "verdict"]


def pytest_terminal_summary(terminalreporter):
    rows = [dict(report.user_properties) for reports in terminalreporter.stats.values() for report in reports
            if getattr(report, "when", "") == "call"]
    rows = [[str(row[column]) for column in COLUMNS] for row in rows if set(COLUMNS) <= set(row)]
    if not rows:
        return
    terminalreporter.section("changes of real gateways")
    widths = [max(len(row[i]) for row in [COLUMNS, *rows]) for i in range(len(COLUMNS))]
    for row in [COLUMNS, *rows]:
        terminalreporter.write_line("  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip())
