"""Processes of agents on one deployment: started, killed, stopped for a while, and what they say of themselves.

The store is on the PostgreSQL of STORE_URL, the broker is the one of BROKER_URL: tests/support/{postgres,rabbitmq,kafka}_server.sh.
"""

import os
import re
import signal
import subprocess
import time

import cvm_program
import store_check
from cvm_program import expect

PATIENCE = int(os.environ.get("CVM_PATIENCE", "120"))  # seconds; a busy machine is no failure
BROKER = os.environ.get("BROKER_URL", "")
CONTROL = os.environ.get("BROKER_CONTROL", "")
REST = "orchestration,data,trigger,journey,allocation,evaluation"
TURN = re.compile(r"event=turn agent=(\S+) message=(\S+) end=(\w+) attempt=(\d+)")


def wait_until(claim, what, patience=PATIENCE, pause=0.02):
    """What the claim gives once it gives anything."""
    until = time.monotonic() + patience
    while True:
        found = claim()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"{what}: not within {patience} s")
        time.sleep(pause)


def control_broker(*words):
    return cvm_program.run([CONTROL, *words], timeout=300).out


def configure(deployment, **settings):
    """Lines of cvm.yaml, each in one of its own."""
    path = os.path.join(deployment.folder, "cvm.yaml")
    with open(path, encoding="utf-8") as config:
        text = config.read()
    text = text.replace("level: warn #", "level: info #")
    for name, value in settings.items():
        text = re.sub(rf"^(# )?{name}:.*\n", "", text, flags=re.M) + f'{name}: "{value}"\n'
    with open(path, "w", encoding="utf-8") as config:
        config.write(text)


class Agent:
    """One process. `name` is its own in the rows of the store."""

    def __init__(self, deployment, types, number, workers, program):
        self.types = types
        self.number = number
        self.log_path = os.path.join(deployment.folder, f"agent-{number}.log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [program, *deployment.command("agent", types, "--workers", workers)[1:]],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        wait_until(lambda: self.name or self.process.poll() is not None, f"agents {types} start")
        expect(self.process.poll() is None, f"agents {types} do not run: {self.log[-2000:]}")

    @property
    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    @property
    def name(self):
        found = re.search(r" run as (\S+);", self.log)
        return found.group(1) if found else None

    def turns(self):
        """(agent, message, end, attempt) of each turn so far."""
        return TURN.findall(self.log)

    def ends(self, end):
        return sum(1 for turn in self.turns() if turn[2] == end)

    def send(self, number):
        self.process.send_signal(number)

    def is_running(self):
        return self.process.poll() is None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """As an operator does; the exit status."""
        self.send(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise AssertionError(f"agents {self.types} did not end within 60 s of SIGTERM") from error


class Agents:
    """All processes of a deployment; at the end none is left."""

    def __init__(self, deployment, broker=None, **settings):
        self.deployment = deployment
        self.started = []
        # Names on the broker go by the moment that the store was made: a copy shall not read another one's queues.
        self.made_ms = time.time_ns() // 1000000
        deployment.change(f"UPDATE migration SET applied_at = {self.made_ms}")
        configure(deployment, broker=broker or BROKER, **settings)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for agent in self.running():
            agent.send(signal.SIGCONT)
            agent.kill()
        if kind is not None:
            print("\n".join(f"    agent-{a.number} {a.types}\n{a.log[-1500:]}" for a in self.started), flush=True)

    def start(self, types, workers=1, program=None):
        agent = Agent(self.deployment, types, len(self.started) + 1, workers, program or self.deployment.program)
        self.started.append(agent)
        return agent

    def start_set(self, treatment=3):
        """One process of all agents but those of treatment, and some of these."""
        return [self.start(REST)] + [self.start("treatment") for _ in range(treatment)]

    def running(self):
        return [agent for agent in self.started if agent.is_running()]

    def queue(self, name):
        """Its name on the broker."""
        return f"cvm.{self.made_ms:x}.{name}"

    def ends(self, end):
        return sum(agent.ends(end) for agent in self.started)

    def stop(self):
        for agent in self.running():
            code = agent.stop()
            expect(code == 0, f"agents {agent.types} ended with {code}: {agent.log[-2000:]}")

    # ---- what they work on ----

    def begin_run(self, day):
        """`cvm run` in the background: it waits for the agents."""
        self.out = open(os.path.join(self.deployment.folder, "run.json"), "w+b")  # noqa: SIM115
        self.waiting = subprocess.Popen(
            self.deployment.command("run", "--as-of", day, "--json"),
            stdin=subprocess.DEVNULL, stdout=self.out, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def end_run(self):
        """Its summary."""
        code = self.waiting.wait(PATIENCE)
        self.out.seek(0)
        text = self.out.read().decode()
        self.out.close()
        expect(code == 0, f"cvm run ended with {code}: {text[-2000:]}")
        return cvm_program.json.loads(text[text.index("{") :])["summary"]

    def run(self, day):
        self.begin_run(day)
        return self.end_run()

    def workflow(self):
        """(state, accepted, finished, error) of the only workflow, in milliseconds; None before it is there."""
        rows = self.deployment.query("SELECT state, created_at, finished_at, error FROM workflow")
        return rows[0] if rows else None

    def steps(self, name):
        """(shard, state, attempt, worker) of a step's shards."""
        return self.deployment.query(
            f"SELECT shard_no, state, attempt, worker FROM step WHERE name = '{name}' ORDER BY shard_no"
        )

    def check_plan(self, wanted, day_number):
        """The rows are those of the reference, one decision a customer, and the ledger and the audit agree."""
        found = store_check.plan(self.deployment, day_number)
        for name, value in wanted.items():
            store_check.expect_equal(name, found[name], value)
        self.deployment.cvm("audit", "verify")
        left = self.deployment.query("SELECT count(*) FROM run_part")
        expect(left == [(0,)], f"{left} parts of runs are left")


class Uncommitted:
    """Holds up whoever needs what a statement did, until the end of the block; then it is undone."""

    def __init__(self, deployment, statement):
        self.deployment = deployment
        self.session = subprocess.Popen(
            ["psql", "-X", "-q", deployment.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.session.stdin.write(f"BEGIN; {statement}; SELECT 'held';\n")
        self.session.stdin.flush()
        while "held" not in self.session.stdout.readline():
            pass

    def waiting(self, agents):
        """Those of the agents that a session of theirs waits for a lock."""
        rows = self.deployment.query(
            "SELECT application_name FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return [agent for agent in agents if any(str(agent.process.pid) in name for (name,) in rows)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release()

    def release(self):
        if self.session is not None:
            self.session.stdin.close()
            self.session.wait()
            self.session.stdout.close()
            self.session = None


class Lock(Uncommitted):
    """Holds up whoever writes a table, until the end of the block."""

    def __init__(self, deployment, table, mode="SHARE ROW EXCLUSIVE"):
        super().__init__(deployment, f"LOCK TABLE {table} IN {mode} MODE")
