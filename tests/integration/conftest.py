"""The fixture `lab`: see lab_fixture.py."""
from lab_fixture import lab, pytest_configure, pytest_runtest_makereport  # noqa: F401
