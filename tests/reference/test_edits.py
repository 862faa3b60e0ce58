"""An edit by hand during the pilot: the comparison says since when, and what was before. See run."""
import datetime
import json
import time

import pytest

from ground import CHARTS, wait_until
from test_charts import CASES, CSA, GENERATED, Setting, account_of, is_same, rows_of

STAGE, RELEASE = "one/edited", "shop-web"
LIMIT = "/spec/template/spec/containers/0/resources/limits/memory"
# The API's times are whole seconds, and a machine that is busy takes one or two.
BOUND = datetime.timedelta(seconds=5)


@pytest.fixture(scope="module")
def pilot(ground):
    setting = Setting(next(c for c in CASES if c.chart == "web"), ground.folder)
    with ground.pilot("edits", [STAGE], setting.references(), releases={STAGE: RELEASE}, tolerate=[GENERATED]) as made:
        made.stage = made.begin_stage(STAGE)
        made.stage.install_chart(RELEASE, CHARTS / "web", CSA, *setting.case.values)
        assert is_same(made.compared())
        yield made


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def test_since_when(pilot):
    before = now()
    time.sleep(1.1)  # so that the times of the two states, in whole seconds, are told apart
    edited = now()
    pilot.stage.kubectl("patch", f"deployment/{RELEASE}", "--type=json", "-p", json.dumps(
        [{"op": "replace", "path": LIMIT, "value": "2Gi"}]))
    pilot.stage.settle()
    said = pilot.compared(verdict="FAIL")
    found = {(d["object"], d["pointer"]): d for r in rows_of(said) for d in r["differences"]
             if "tolerated" not in d}
    assert set(found) == {(f"Deployment/{RELEASE}", LIMIT)}, account_of(rows_of(said))
    difference = found.popitem()[1]
    assert (difference["expected"], difference["found"]) == ("1024Mi", "2Gi"), difference
    since = datetime.datetime.fromisoformat(difference["since"])
    assert difference["since_bound"] == "at" and abs(since - edited) < BOUND, (difference, edited)

    assert is_same(pilot.read("compare", "--at", before.isoformat()))

    moments = pilot.read("compare", "--over")["stages"][0]["moments"]
    assert [m["verdict"] for m in moments][-2:] == ["PASS", "FAIL"], moments
    assert abs(datetime.datetime.fromisoformat(moments[-1]["at"]) - edited) < BOUND, (moments, edited)
    turned = {m["id"]: (m["from"], m["to"]) for m in moments[-1]["moved"]}
    assert "whole/Deployment/{release}-web" in turned and set(turned.values()) == {("PASS", "FAIL")}, turned

    told = pilot.ask("explain", "architecture").stdout
    for words in (LIMIT, "2Gi", "1024Mi", f"Deployment/{RELEASE}", difference["since"][:19]):
        assert words in told, (words, told)
