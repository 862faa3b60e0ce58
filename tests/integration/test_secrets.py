"""What must not leave the agent: tokens, keys, arguments and results of calls. They are planted, and then
looked for in everything that is written or sent: spool, store, logs, and what the CLI prints."""
import base64
import shutil

from lab import ADDED, HARMFUL, wait_until

TOKEN = "planted-token-5f1c7d"
ARGUMENT = "planted-argument-91ab"


def forms(secret):
    """As it is, and as base64 of it would show wherever it begins."""
    text = secret.encode()
    shifted = [base64.b64encode(b"x" * k + text)[4 if k else 0:-4] for k in range(3)]
    return [text, *shifted]


def holding(files, secrets):
    return [(path.name, form) for path in files for secret in secrets for form in forms(secret)
            if form in path.read_bytes()]


def test_secrets_stay_where_they_are(lab):
    stage = lab.begin("secret", load=10, extra=HARMFUL)
    token = stage.folder / "token"
    token.write_text(TOKEN + "\n")
    for target in stage.config["targets"]:
        target["bearer_file"] = str(token)
    stage.config["documents"][0]["bearer_file"] = str(token)
    stage.config["log_level"] = "debug"
    for probe in stage.config["probes"]:
        if probe["tool"] == "echo":
            probe["arguments"] = {"text": f"{{nonce}} {ARGUMENT}", "nonce": "{nonce}"}
    # A call whose answer is not the expected one, so that its full row is sent.
    stage.config["probes"].append({"name": "wrong", "target": "gateway", "tool": "echo", "interval": "1s",
                                   "arguments": {"text": ARGUMENT, "nonce": "{nonce}"}, "expect": "something else",
                                   "timeout": "6s", "limit": "5s"})
    stage.start_witnessing()
    assert lab.finish_drill(lab.drill(stage, *stage.reload(ADDED))) == 1
    records = [r for records in lab.records(stage).values() for r in records]
    outcomes = {r.call.outcome for r in records if r.WhichOneof("body") == "call"}
    assert len(outcomes) >= 2  # dropped ones, and answers other than expected

    # The spool, while it holds what the collector does not have.
    lab.collector.kill()
    spool = stage.folder / "spool"
    size = sum(f.stat().st_size for f in spool.iterdir())
    wait_until(lambda: sum(f.stat().st_size for f in spool.iterdir()) > size + 2000, 30, "records wait in the spool")
    spooled = shutil.copytree(spool, lab.folder / "spooled")
    lab.serve()
    wait_until(stage.connected, 60, "the agent is back")
    assert stage.agent.end() == 0

    keys = lab.folder / "keys"
    secret_key = (keys / "agent.key").read_text().split("secret:")[1].split()[0]
    hash_key = (keys / "pilot.hash").read_text().strip()
    secrets = [TOKEN, ARGUMENT, secret_key, hash_key]
    for number, words in enumerate((["gates", "-o", "json"], ["agents", "-o", "json"], ["changes", "-o", "json"],
                                    ["explain", "config-safety"], ["timeline", stage.name])):
        (lab.folder / f"said-{number}").write_text(lab.ask(*words).stdout)
    files = [*spooled.iterdir(), *lab.folder.glob("pilot.db*"), *lab.folder.glob("said-*"), lab.backup(),
             stage.agent.log, lab.collector.log, *lab.folder.glob("drill-*.log")]
    assert sum(path.stat().st_size for path in files) > 10000
    assert holding(files, secrets) == []
    # They were really there: the gateway got the token, and what is looked for is found where it is.
    assert holding([token, keys / "agent.key", stage.folder / "agent.yaml"], secrets)
