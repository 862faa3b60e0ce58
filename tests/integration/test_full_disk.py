"""The collector's disk is full: agents keep what they have, /readyz says why, and when there is room again all of it
arrives. On a small tmpfs of its own, so these tests need root."""
import contextlib
import os
import subprocess
import urllib.error
import urllib.request

import pytest

from lab import wait_until
from test_delivery import check_ended, stream

SIZE = 6 << 20


@pytest.fixture(name="small")
def small_disk(lab):
    """The lab's store on a disk of 6 MiB."""
    assert os.geteuid() == 0, "run as root: a tmpfs is mounted"
    folder = lab.folder / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder], check=True, timeout=20)
    lab.db = folder / "pilot.db"
    yield folder
    lab.close()
    subprocess.run(["umount", folder], check=True, timeout=20)


def readyz(lab):
    """Status and text."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{lab.http}/readyz", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def fill(folder):
    """A file that takes all the room there is."""
    with (folder / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(b"x" * 4096)


def test_a_full_disk_loses_nothing_and_heals_by_itself(lab, small):
    stage = lab.begin("full")
    stage.start_witnessing()
    assert readyz(lab)[0] == 200
    for _ in range(2):
        before = len(stream(lab, stage))
        fill(small)
        status, text = wait_until(lambda: (r := readyz(lab))[0] == 503 and r, 60, "the collector says that it is full")
        assert status == 503 and "full" in text, text
        assert lab.collector.is_alive() and stage.agent.is_alive()
        (small / "ballast").unlink()
        wait_until(lambda: readyz(lab)[0] == 200, 20, "the collector heals by itself")
        wait_until(lambda: len(stream(lab, stage)) > before + 10, 90, "the agent sends what it kept")
    assert any("full" in r["reason"] for r in lab.agents()["refusals"])
    check_ended(lab, stage)


def test_a_collector_that_is_killed_while_its_disk_is_full_comes_back(lab, small):
    stage = lab.begin("killed")
    stage.start_witnessing()
    fill(small)
    wait_until(lambda: readyz(lab)[0] == 503, 60, "the collector says that it is full")
    lab.collector.kill()
    before = len(list((stage.folder / "spool").iterdir()))
    assert before
    (small / "ballast").unlink()
    lab.serve()
    check_ended(lab, stage)
