"""Processes of agents on one deployment: started, killed, stopped for a while, and what they say of themselves.

The store is on the PostgreSQL of STORE_URL, the broker is the one of BROKER_URL: tests/support/{postgres,rabbitmq,kafka}_server.sh.
"""

import datetime
import os
import random
import re
import signal
import subprocess
import time

import cvm_program
import store_check
from cvm_program import expect, same

PATIENCE = int(os.environ.get("CVM_PATIENCE", "120"))  # seconds; a busy machine is no failure
BROKER = os.environ.get("BROKER_URL", "")
CONTROL = os.environ.get("BROKER_CONTROL", "")
DAY = "2024-03-20"
DAY_NUMBER = cvm_program.day_number(datetime.date(2024, 3, 20))
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


def control_broker(what):
    return cvm_program.run([CONTROL, what], timeout=300).out


def configure(deployment, level="info", **settings):
    """Lines of cvm.yaml, each in one of its own; and how much is logged."""
    path = os.path.join(deployment.folder, "cvm.yaml")
    with open(path, encoding="utf-8") as config:
        text = config.read()
    text = text.replace("level: warn #", f"level: {level} #")
    for name, value in settings.items():
        text = re.sub(rf"^(# )?{name}:.*\n", "", text, flags=re.M) + f'{name}: "{value}"\n'
    with open(path, "w", encoding="utf-8") as config:
        config.write(text)


class World:
    """A base on both databases, and what one process on SQLite decides for it."""

    def __init__(self, program, folder, customers):
        self.folder = folder
        self.customers = customers
        self.data = os.path.join(folder, "data")
        self.random = random.Random(1)
        self.base = self.import_base(program, "imported")
        server, cvm_program.SERVER = cvm_program.SERVER, ""
        try:
            embedded = self.import_base(program, "embedded")
            self.summary = embedded.json("run", "--as-of", DAY)["summary"]
            self.digest = self.summary["plan_digest"]
            self.plan = store_check.plan(embedded, DAY_NUMBER)
            self.rows = store_check.decision_rows(embedded)
        finally:
            cvm_program.SERVER = server
        same(self.plan["digest"], self.digest, "digest of the reference")
        expect(self.plan["decisions"] > 0, "the reference decides something")
        # On which database the ledger's rows are in order is not the same.
        self.plan["ledger"] = sorted(self.plan["ledger"])

    def import_base(self, program, name):
        made = cvm_program.Deployment.create(program, os.path.join(self.folder, name), self.customers)
        if not os.path.exists(self.data):
            amount = ("--customers", self.customers, "--events", 10, "--seed", 7, "--until", DAY)
            made.cvm("generate", *amount, "--out", self.data)
        made.cvm("import", self.data)
        return made

    def agents(self, **settings):
        """For one run on a copy of the base."""
        return Agents(self.base.copy(os.path.join(self.folder, "work")), **settings)

    def check(self, agents, summary):
        agents.check_plan(self.plan, DAY_NUMBER)
        same(summary["plan_digest"], self.digest, "plan_digest")
        store_check.expect_equal("rows of decisions", store_check.decision_rows(agents.deployment), self.rows)


class Agent:
    """One process. `name` is its own in the rows of the store."""

    def __init__(self, deployment, types, number, words, program):
        self.types = types
        self.number = number
        self.log_path = os.path.join(deployment.folder, f"agent-{number}.log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [program, *deployment.command("agent", types, *words)[1:]],
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
        deployment.change(f"UPDATE migration SET applied_at = {time.time_ns() // 1000000}")
        configure(deployment, broker=broker or BROKER, **settings)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for agent in self.running():
            agent.send(signal.SIGCONT)
            agent.kill()
        if kind is not None:
            print("\n".join(f"    agent-{a.number} {a.types}\n{a.log[-1500:]}" for a in self.started), flush=True)

    def start(self, types, workers=1, program=None, options=()):
        words = ("--workers", workers, *options)
        agent = Agent(self.deployment, types, len(self.started) + 1, words, program or self.deployment.program)
        self.started.append(agent)
        return agent

    def start_set(self, treatment=3):
        """One process of all agents but those of treatment, and some of these."""
        return [self.start(REST)] + [self.start("treatment") for _ in range(treatment)]

    def running(self):
        return [agent for agent in self.started if agent.is_running()]

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


class Lock:
    """Holds up whoever writes a table, until the end of the block."""

    def __init__(self, deployment, table, mode="SHARE ROW EXCLUSIVE"):
        self.deployment = deployment
        self.session = subprocess.Popen(
            ["psql", "-X", "-q", deployment.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.session.stdin.write(f"BEGIN; LOCK TABLE {table} IN {mode} MODE; SELECT 'held';\n")
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
