"""The built-in profile of the recommended architecture against two stages in the shape of Arcade's chart (written for
the tests, charts/arcade): one that follows the vendor, one that does not. Each fault is found, named and sourced, and
nothing else. See run."""
import concurrent.futures

import pytest

from ground import CHARTS, run

GOOD, BAD = "one/arcade-good", "one/arcade-bad"
SECRETS = {"arcade-postgres-admin-password": "password", "arcade-redis-password": "REDIS_PASSWORD",
           "arcade-worker-shared-secret": "ARCADE_WORKER_SECRET"}
SERVICES = {f"Deployment/arcade-{name}"
            for name in ("coordinator", "dashboard", "engine", "experience-api", "worker-main")}
STORES = {"StatefulSet/arcade-postgresql", "StatefulSet/arcade-redis"}
# What is wrong with the bad one: expectation, its severity, and in which objects.
FAULTS = {
    "stores-external": ("required", STORES),
    "worker-secret": ("required", {"Secret/arcade-worker"}),
    "tls": ("required", {"Ingress/arcade"}),
    "stores-tls": ("recommended", {f"Deployment/arcade-{n}" for n in ("coordinator", "engine", "experience-api")}),
    "replicas": ("recommended", SERVICES),
    "disruption-budgets": ("recommended", SERVICES),
    "network-policies": ("recommended", SERVICES),
}


def bring_secrets(stage, folder):
    """As External Secrets and cert-manager would."""
    for name, key in SECRETS.items():
        stage.kubectl("create", "secret", "generic", name, f"--from-literal={key}=not-a-default-7c1f")
    files = folder / "tls.crt", folder / "tls.key"
    done = run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
               "-subj", "/CN=arcade.example.com", "-out", files[0], "-keyout", files[1])
    assert done.returncode == 0, done
    stage.kubectl("create", "secret", "tls", "arcade-public-tls", f"--cert={files[0]}", f"--key={files[1]}")


@pytest.fixture(scope="module")
def pilot(ground):
    with ground.pilot("arcade", [GOOD, BAD], ["arcade"], releases={GOOD: "arcade", BAD: "arcade"}) as made:
        def install(name, which):
            stage = made.begin_stage(name)
            if name == GOOD:
                bring_secrets(stage, made.folder)
            stage.install_chart("arcade", CHARTS / "arcade", "-f", CHARTS / "arcade" / f"{which}.yaml")
        with concurrent.futures.ThreadPoolExecutor() as both:
            for done in [both.submit(install, GOOD, "good"), both.submit(install, BAD, "bad")]:
                done.result()
        yield made


def stage_of(document, name):
    return next(s for s in document["stages"] if s["stage"] == name)


def test_good(pilot):
    said = stage_of(pilot.compared("--stage", GOOD), GOOD)
    assert said["verdict"] == "PASS", said["reason"]
    assert {r["verdict"] for r in said["rows"]} == {"PASS"}, [r for r in said["rows"] if r["verdict"] != "PASS"]
    assert all(m["percent"] == 100 for m in said["match"].values()), said["match"]


def test_bad(pilot):
    said = stage_of(pilot.compared("--stage", BAD, verdict="FAIL"), BAD)
    assert said["verdict"] == "FAIL", said["reason"]
    assert all(r["verdict"] in ("PASS", "FAIL") for r in said["rows"]), said["rows"]
    found = {r["id"]: (r["severity"], {d["object"] for d in r["differences"]})
             for r in said["rows"] if r["verdict"] == "FAIL"}
    assert found == FAULTS
    assert all(r["why"] and "Arcade" in r["source"] for r in said["rows"]), said["rows"]


def test_explained(pilot):
    """Each fault with its object, what was expected and found, why it matters and who says so."""
    told = pilot.ask("explain", "architecture", "--stage", BAD).stdout
    for words in ("docker.io/library/postgres:16.4", "at least 2", 'known default "dev"', "spec.tls",
                  "ArcadeAI/marketplace-flux", "ArcadeAI/docs", *STORES, *SERVICES, "Secret/arcade-worker"):
        assert words in told, (words, told)
