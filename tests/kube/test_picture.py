"""The comparison of tests/kube must be able to fail: each kind of contradiction, put into made-up sources, is found.

Made up, as a correct agent never shows them.
"""
import asyncio
import pathlib
import sys
import types

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import churn  # noqa: E402
import harms  # noqa: E402
import picture  # noqa: E402


def told(op, name, uid, rv, at, kind="ConfigMap", boot="b"):
    return {"boot": boot, "op": op, "kind": kind, "name": name, "uid": uid, "rv": rv, "at": at, "reason": ""}


def phase(name, pod, uid, at):
    return {"boot": "b", "phase": name, "subject": f"Pod/{pod}", "uid": uid, "at": at}


def item(kind, name, uid, rv, **more):
    return {"kind": kind, "metadata": {"name": name, "uid": uid, "resourceVersion": rv}, **more}


def seen(objects=(), phases=(), losses=()):
    return types.SimpleNamespace(objects=list(objects), phases=list(phases), losses=list(losses))


AGREE = [told("LISTED", "a", "u1", "1", 1), told("MODIFIED", "a", "u1", "2", 2), told("ADDED", "gone", "u2", "3", 3),
         told("DELETED", "gone", "u2", "3", 4)]
PODS = [phase("POD_CREATED", "p", "u3", 1), phase("POD_CREATED", "q", "u4", 2), phase("POD_GONE", "q", "u4", 3)]
CLUSTER = [item("ConfigMap", "a", "u1", "2"), item("Pod", "p", "u3", "9", spec={"nodeName": "n1"}),
           item("Pod", "elsewhere", "u5", "9", spec={"nodeName": "n2"})]


def differences(objects, phases=PODS, cluster=CLUSTER):
    return picture.differences(picture.picture(seen(objects, phases)), picture.truth(cluster, "n1"))


def test_pictures_that_agree():
    assert differences(AGREE) == []


@pytest.mark.parametrize("objects, phases, names", [
    (AGREE[:1], PODS, "ConfigMap/a"), (AGREE[:3], PODS, "ConfigMap/gone"), (AGREE[2:], PODS, "ConfigMap/a"),
    ([*AGREE, told("ADDED", "ghost", "u6", "5", 5)], PODS, "ConfigMap/ghost"),
    ([*AGREE[:1], told("MODIFIED", "a", "other", "2", 2), *AGREE[2:]], PODS, "ConfigMap/a"),
    (AGREE, PODS[:2], "Pod/q"), (AGREE, PODS[1:], "Pod/p")])
def test_pictures_that_differ(objects, phases, names):
    lines = differences(objects, phases)
    assert len(lines) == 1 and lines[0].startswith(names)


def test_an_object_that_was_made_again_outlives_the_end_of_its_namesake():
    again = [*AGREE, told("ADDED", "gone", "u7", "6", 5), told("DELETED", "gone", "u2", "3", 6)]
    assert differences(again, cluster=[*CLUSTER, item("ConfigMap", "gone", "u7", "6")]) == []


def test_releases_are_known_by_their_secrets():
    secret = item("Secret", "sh.helm.release.v1.shop.v3", "u8", "7", type="helm.sh/release.v1")
    secret["metadata"]["labels"] = {"name": "shop", "version": "3"}
    assert picture.truth([secret], "n1") == {("HelmRelease", "shop.v3"): ("u8", "7")}


def test_what_is_told_twice_is_found():
    assert picture.doubled(AGREE) == {}
    assert list(picture.doubled([*AGREE, AGREE[1]]).values()) == [2]
    assert list(picture.doubled([*AGREE, AGREE[3]]).values()) == [2]
    assert picture.doubled([*AGREE, {**AGREE[1], "boot": "other"}]) == {}


def write(op, name, uid, rv, kind="ConfigMap", source="configmaps", begun=100.0):
    return churn.Write(op, source, kind, name, uid, rv, begun, begun + 0.1)


WRITES = [write("change", "a", "u1", "2"), write("delete", "gone", "u2", ""),
          write("create", "p", "u3", "9", "Pod", "pods"), write("delete", "q", "u4", "", "Pod", "pods")]
GAP = {"boot": "b", "cause": picture.UNWATCHED, "from": 90.0, "to": 110.0, "sources": ["configmaps", "services"]}


def test_writes_that_were_told():
    assert picture.undeclared(WRITES, seen(AGREE, PODS)) == []


def test_writes_that_were_not_told_are_found():
    assert [w.name for w in picture.missing(WRITES, seen())] == ["a", "gone", "p", "q"]
    assert len(picture.undeclared(WRITES, seen())) == 4
    assert "a at 100.000" in picture.undeclared(WRITES[:1], seen(AGREE[:1]))[0]


@pytest.mark.parametrize("change, left", [
    ({}, 0), ({"to": 98.0}, 1), ({"from": 102.0}, 1), ({"sources": ["secrets"]}, 1), ({"cause": 3}, 1)])
def test_a_gap_covers_its_time_and_its_sources_only(change, left):
    assert len(picture.undeclared(WRITES[:1], seen(losses=[{**GAP, **change}]))) == left



@pytest.mark.parametrize("uids, order", [("abab", "baba"), ("aabb", "aabb"), ("aaab", "aaba")])
def test_lines_change_places_but_those_of_one_object_never(uids, order):
    lines = [harms.as_line("MODIFIED", {"metadata": {"uid": uid, "resourceVersion": str(i)}}) for i, uid in
             enumerate(uids * 2)]
    fault = harms.Older({"pods": "1"})
    exchange = types.SimpleNamespace(request=types.SimpleNamespace(source="pods"))
    told = [one for line in lines for one in asyncio.run(fault.line(exchange, line))]
    assert sorted(told) == sorted(lines)
    assert "".join(map(harms.uid_of, told[:4])) == order
    for uid in uids:
        assert [x for x in told if harms.uid_of(x) == uid] == [x for x in lines if harms.uid_of(x) == uid]
