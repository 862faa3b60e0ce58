"""Writers and a collector, each in a network namespace of its own, with spools and store on small disks (tmpfs).

Needs root. What is made here has the number of this process in its name; `close` takes all of it away.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PILOTGATE_BUILD", TOP / "build"))
PILOTGATE = BUILD / "collector" / "pilotgate"
WRITER = BUILD / "tests" / "crash-writer"
DUMP = BUILD / "tests" / "crash-dump"
KEEP = BUILD / "tests" / "crash-keep"
PORT = 5670
BOUND = 60
SPOOL_DISK, STORE_DISK = "24m", "400m"
# One change that lasts the whole run, so that the judge says of all of it what nobody witnessed.
RUBRIC = {"longest_call": "1s", "keep_alive": "1s", "merge_gap": "24h", "coverage_gap": "3s"}


class Wrong(Exception):
    """What must not happen, as one line."""


def wait_until(condition, bound, what):
    end = time.monotonic() + bound
    while not (value := condition()):
        if time.monotonic() > end:
            raise Wrong(f"gave up after {bound} s: {what}")
        time.sleep(0.02)
    return value


def do(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=BOUND, check=False)
    if done.returncode:
        raise Wrong(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.returncode}")
    return done.stdout


class Program:
    """One that is started again and again, in one namespace. `armed`: the crash point at which it ends itself."""

    def __init__(self, world, name):
        self.world, self.name, self.log = world, name, world.folder / f"{name}.log"
        self.netns, self.popen, self.armed, self.starts = f"pgcrash{os.getpid()}-{name}", None, None, 0
        self.away_until = 0  # not started before

    def start(self, command, env, armed=None):
        self.armed, self.starts = armed, self.starts + 1
        crash = {"PILOTGATE_CRASH_AT": armed} if armed else {}
        if armed == "list":
            crash["PILOTGATE_CRASH_LIST"] = str(self.world.folder / f"{self.kind()}.points")
        with self.log.open("ab") as out:
            self.popen = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.netns}", "--", "setpriv", "--pdeathsig", "KILL", "--",
                 *map(str, command)], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env={**os.environ, **env, **crash})

    def kind(self):
        return {"hub": "collector", "keeper": "keeper", "backup": "backup"}.get(self.name, "writer")

    def alive(self):
        return self.popen is not None and self.popen.poll() is None

    def kill(self):
        """True when it was this that ended it."""
        if not self.alive():
            return False
        self.popen.kill()
        self.popen.wait(10)
        return True

    def signal(self, number):
        if self.alive():
            self.popen.send_signal(number)

    def end(self, bound=30):
        """By SIGTERM, in order."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            status = self.popen.wait(bound)
        except subprocess.TimeoutExpired:
            raise Wrong(f"{self.name} did not end within {bound} s of SIGTERM") from None
        if status != 0:
            raise Wrong(f"{self.name} ended with {status}: {self.last_words()}")

    def last_words(self):
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return " | ".join(lines[-2:])


class Disk:
    """A file system of a fixed size."""

    def __init__(self, folder, size):
        self.folder, self.was_full = folder, -60.0
        folder.mkdir()
        do("mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "pilotgate-crash", folder)

    def fill(self):
        """Up to the last page; again and again, as a spool gives room back that it need not keep."""
        with (self.folder / "ballast").open("ab") as out:
            for step in (1 << 22, 1 << 16, 1 << 12):
                with contextlib.suppress(OSError):
                    while True:
                        os.posix_fallocate(out.fileno(), os.fstat(out.fileno()).st_size, step)

    def is_filled(self):
        return (self.folder / "ballast").exists()

    def is_full(self):
        """Now, or it was so a moment ago, when what ended since looked at it."""
        if self.is_filled():
            self.was_full = time.monotonic()
        return time.monotonic() < self.was_full + 3

    def free(self):
        self.is_full()
        (self.folder / "ballast").unlink(missing_ok=True)

    def close(self):
        subprocess.run(["umount", "-l", self.folder], capture_output=True, check=False)


class Writer(Program):
    def __init__(self, world, number, quota):  # KiB
        super().__init__(world, f"w{number}")
        self.number, self.stage, self.node = number, f"crash/s{number}", f"n{number}"
        self.quota = quota
        self.disk = Disk(world.folder / f"{self.name}-disk", SPOOL_DISK)
        self.truth, self.clones = None, []  # of each: folder, stage, node
        self.config = world.folder / f"{self.name}.yaml"

    def spool(self):
        return self.clones[-1][0] if self.clones else self.disk.folder / "spool"

    def begin(self, armed=None):
        """A lifetime more."""
        keys = self.world.folder / "keys"
        cluster, namespace = self.stage.split("/")
        config = {
            "collector": {"endpoint": f"tcp://10.231.{self.number}.1:{PORT}", "server_key_file": str(keys / "server.pub"),
                          "key_file": str(keys / "agent.key"), "hash_key_file": str(keys / "pilot.hash")},
            "stage": {"cluster": cluster, "namespace": namespace, "node": self.node}, "kube": {"enabled": False},
            "spool": {"dir": str(self.spool())}}
        self.config.write_text(json.dumps(config))  # JSON is YAML
        self.truth = self.world.truth / f"{self.name}-{self.starts:04d}"
        self.start([WRITER, self.truth, self.world.interval_ms, self.world.draw(1 << 30), self.quota,
                    "--config", self.config], {}, armed)


    def clone(self, other, stage, node, noted=True):
        """Becomes `node` of `stage`, with a copy of the other's spool as it is now; not noted: as one that an agent
        before 0.2 left, without the stage's name."""
        folder = self.disk.folder / f"clone-{len(self.clones)}"
        folder.mkdir(mode=0o700)
        for path in sorted(other.spool().iterdir()):
            with contextlib.suppress(FileNotFoundError):  # it was acknowledged meanwhile
                shutil.copy2(path, folder / path.name)
        if not noted:
            (folder / "stage").unlink(missing_ok=True)
        self.be((folder, stage, node))

    def forget_clone(self):
        """It was refused: nobody goes on with it."""
        shutil.rmtree(self.clones.pop()[0])

    def be(self, clone):
        self.clones = [c for c in self.clones if c != clone] + [clone]
        _, self.stage, self.node = clone


class Collector(Program):
    def __init__(self, world):
        super().__init__(world, "hub")
        self.disk = Disk(world.folder / "store-disk", STORE_DISK)
        self.db = self.disk.folder / "pilot.db"

    def begin(self, armed=None):
        keys = self.world.folder / "keys"
        self.start([PILOTGATE, "serve", "--listen", f"tcp://0.0.0.0:{PORT}", "--http", "127.0.0.1:5671", "--key",
                    keys / "server.key", "--allow", keys / "agents.allow"], {"PILOTGATE_STORE": f"sqlite:{self.db}"},
                   armed)

    def forget(self):
        """The store is gone."""
        for path in self.disk.folder.glob("pilot.db*"):
            path.unlink()


class Keeper(Program):
    """Packs the collector's store, while that is not there."""

    def __init__(self, world, collector):
        super().__init__(world, "keeper")
        self.netns, self.disk, self.db = collector.netns, collector.disk, collector.db

    def begin(self, armed=None):
        self.start([KEEP, f"sqlite:{self.db}"], {}, armed)


class Backup(Program):
    """`pilotgate backup`, beside the collector."""

    def __init__(self, world, collector):
        super().__init__(world, "backup")
        self.netns, self.disk, self.db = collector.netns, collector.disk, collector.db

    def begin(self, path, armed=None):
        self.start([PILOTGATE, "backup", path], {"PILOTGATE_STORE": f"sqlite:{self.db}"}, armed)


class World:
    """draw(n): a number below n, of the run's seed."""

    def __init__(self, folder, writers, draw, interval_ms, quota):
        self.folder, self.draw, self.interval_ms = folder, draw, interval_ms
        self.truth = folder / "truth"
        self.truth.mkdir(parents=True)
        self.made = contextlib.ExitStack()
        self.writers, self.spare, self.collector = [], None, None  # spare: a writer that is somebody else's clone
        try:
            self.build(writers, quota)
        except BaseException:
            self.close()
            raise

    def build(self, writers, quota):
        self.collector = Collector(self)
        self.keeper = Keeper(self, self.collector)
        self.backup = Backup(self, self.collector)
        self.made.callback(self.collector.disk.close)
        self.add_netns(self.collector.netns)
        for number in range(1, writers + 2):
            writer = Writer(self, number, quota)
            self.writers.append(writer)
            self.spare = writer
            self.made.callback(writer.disk.close)
            self.add_netns(writer.netns)
            self.connect(number)
        self.writers.remove(self.spare)
        stages = [w.stage for w in self.writers]
        self.ask("keygen", "all", "--out", self.folder / "keys", "--stage", ",".join(stages))
        self.declare(stages)

    def declare(self, stages=None):
        pilot = self.folder / "pilot.yaml"
        if stages:
            pilot.write_text(json.dumps({"name": "crash", "rubric": RUBRIC,
                                         "stages": [{"stage": s, "agents": 1} for s in stages]}))
        self.ask("pilot", "init", "--file", pilot)

    def add_netns(self, name):
        do("ip", "netns", "add", name)
        self.made.callback(subprocess.run, ["ip", "netns", "del", name], capture_output=True, check=False)
        do("ip", "-n", name, "link", "set", "lo", "up")

    def connect(self, number):
        hub, own = self.collector.netns, self.writers[-1].netns
        do("ip", "link", "add", f"h{number}", "netns", hub, "type", "veth", "peer", "name", "out0", "netns", own)
        for netns, link, last in ((hub, f"h{number}", 1), (own, "out0", 2)):
            do("ip", "-n", netns, "addr", "add", f"10.231.{number}.{last}/30", "dev", link)
            do("ip", "-n", netns, "link", "set", link, "up")

    # ---- network

    def cut(self, writer, ways):
        """ways: of "INPUT" and "OUTPUT"."""
        for way in ways:
            do("nsenter", f"--net=/run/netns/{writer.netns}", "iptables", "-w", "-A", way, "-i" if way == "INPUT" else
               "-o", "out0", "-j", "DROP")

    def mend(self, writer):
        do("nsenter", f"--net=/run/netns/{writer.netns}", "iptables", "-w", "-F")

    # ---- what there is

    def ask(self, *words, statuses=(0,)):
        """The collector's CLI."""
        done = subprocess.run([str(w) for w in (PILOTGATE, *words)], capture_output=True, text=True, timeout=BOUND,
                              check=False, env={**os.environ, "PILOTGATE_STORE": f"sqlite:{self.collector.db}"})
        if done.returncode not in statuses:
            raise Wrong(f"pilotgate {words[0]}: {done.stderr.strip()}")
        return done.stdout

    def dump(self, db=None, *words):
        return do(DUMP, f"sqlite:{db or self.collector.db}", *words)

    def programs(self):
        """Those that are kept running."""
        return [p for p in [*self.writers, self.collector] if p]

    def held(self):
        """The boots of which a spool still has records, kept ones too."""
        folders = [w.spool() for w in self.writers] + [folder for folder, _, _ in self.spare.clones]
        return set().union(*map(self.boots_in, folders))

    @staticmethod
    def boots_in(folder):
        return {path.name[:32] for path in (folder.iterdir() if folder.exists() else ())
                if path.name.endswith((".seg", ".kept"))}

    def close(self):
        for program in [*self.programs(), *([self.spare] if self.spare else [])]:
            program.kill()
        self.made.close()

    def keep(self, folder):
        """What a failure needs, before the disks go."""
        for program in self.programs():
            program.kill()
            program.disk.free()
        shutil.copytree(self.folder, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("keys"))
