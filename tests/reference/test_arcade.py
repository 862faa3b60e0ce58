"""The built-in profile of the recommended architecture against two stages in the shape of Arcade's chart (written for
the tests, charts/arcade): one that follows the vendor, one that does not. See run."""
import pytest
import yaml

from ground import CHARTS

GOOD, BAD = "one/arcade-good", "one/arcade-bad"
# As External Secrets would bring them.
SECRETS = {"arcade-postgres-admin-password": "password", "arcade-redis-password": "REDIS_PASSWORD",
           "arcade-worker-shared-secret": "ARCADE_WORKER_SECRET"}


@pytest.fixture(scope="module")
def pilot(ground):
    with ground.pilot("arcade", [GOOD, BAD], ["arcade"], releases={GOOD: "arcade", BAD: "arcade"}) as made:
        for which in (GOOD, BAD):
            stage = made.begin_stage(which)
            if which == GOOD:
                for name, key in SECRETS.items():
                    stage.kubectl("create", "secret", "generic", name, f"--from-literal={key}=not-a-default-7c1f")
            stage.install_chart("arcade", CHARTS / "arcade", "-f", CHARTS / "arcade" / f"{which.rpartition('-')[2]}.yaml")
        yield made


def test_both(pilot):
    print(yaml.safe_dump(pilot.read("compare")))
