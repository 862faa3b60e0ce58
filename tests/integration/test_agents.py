"""Records that came by hand judge as those that came by the wire; what cannot be believed is told."""
import json
import shutil

from lab import AGENT, run, wait_until
from test_delivery import last_is_bye, stream


def judged(lab, store=None):
    """What the gates say of each stage, without what differs between two stores: commits and times of asking."""
    done = lab.ask("gates", "-o", "json", store=store)
    assert done.returncode in (0, 1, 3) and done.stderr == "", done
    return [(g["id"], g["verdict"], [(s["stage"], s["verdict"], s["reason"]) for s in g["stages"]])
            for g in json.loads(done.stdout)["gates"]]


def changes(lab, store=None):
    done = lab.ask("changes", "-o", "json", store=store)
    assert done.returncode == 0, done
    return json.loads(done.stdout)


def test_what_was_imported_judges_as_what_was_delivered(lab):
    stage = lab.begin("both")
    stage.start_witnessing()
    done = run(*stage.reload("echo,hold,whoami,sum"))
    assert done.returncode == 0, done
    wait_until(lambda: "tool" in json.dumps(changes(lab)).lower() and changes(lab), 40, "the change is seen")
    wait_until(lambda: lab.verdict("config-safety", stage.name)["verdict"] != "PENDING", 60, "it is judged")
    assert stage.agent.end() == 0
    wait_until(lambda: last_is_bye(stream(lab, stage)), 20, "the agent's last record is committed")
    # What was delivered is kept for the grace: it is in the export, too.
    file = stage.folder / "all.export"
    done = run(AGENT, "spool", "export", "--config", stage.folder / "agent.yaml", file)
    assert done.returncode == 0, done
    lab.collector.end()
    other, keys = lab.folder / "other.db", lab.folder / "keys"
    done = lab.ask("pilot", "init", "--file", lab.folder / "pilot.yaml", store=other)
    assert done.returncode == 0, done
    done = lab.ask("import", "--key", keys / "server.key", "--allow", keys / "agents.allow", "-o", "json", file,
                   store=other)
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["records"] == len(stream(lab, stage))
    assert judged(lab) == judged(lab, other)
    assert [a["node"] for a in json.loads(lab.ask("agents", "-o", "json", store=other).stdout)["agents"]] == [stage.node]


def test_an_import_beside_the_daemon_says_to_stop_it(lab):
    stage = lab.begin("beside")
    keys = lab.folder / "keys"
    done = lab.ask("import", "--key", keys / "server.key", "--allow", keys / "agents.allow", stage.folder / "none")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "stop `pilotgate serve`" in done.stderr, done


def test_a_copied_spool_is_refused_or_told(lab):
    one, two = lab.begin("one", "two")
    lab.collector.kill()
    one.start_agent()
    wait_until(lambda: sum(f.stat().st_size for f in (one.folder / "spool").glob("*.seg")) > 4096, 30, "records wait")
    one.agent.kill()
    shutil.copytree(one.folder / "spool", two.folder / "spool")
    two.start_agent()
    wait_until(lambda: not two.agent.is_alive(), 15, "the copy is refused")
    assert f"spool.dir belongs to stage {one.name}: " in two.agent.said(), two.agent.said()
    (two.folder / "spool" / "stage").unlink()  # as an agent before 0.2 left it
    lab.serve()
    one.start_agent()
    two.start_agent()

    def doubted():
        return {s["stage"] for s in lab.agents()["streams"] if "two-stages" in s["doubts"]}

    wait_until(lambda: two.name in doubted(), 40, "the copy is noticed")
    assert "under another stage" in lab.ask("agents").stdout
