#!/usr/bin/env python3
"""kill -9 of random processes of agents in the middle of runs, over the broker of BROKER_URL and the PostgreSQL of STORE_URL.

What one process on SQLite decides for a generated base is the reference. Then the same is decided by agents as processes, run
after run on a copy of the base, until COUNT processes were killed while a run was at work: any of them, at random moments, each
started again at once, as `cvm up` and systemd do. After each run

- its plan digest, its decisions with what was kept from control groups, and its figures are those of the reference;
- the ledger has confirmed exactly the decisions and holds nothing, and each step is done, once a shard;
- the audit trail is whole.

Take-over is from the kill until what the dead process had is in other hands: for each partition of workflows that it led until
the lease has the next epoch, for each step that it was at until another worker began it, and for each step that was sent to its
kind and that nobody had begun until somebody did, which is longer where all others are busy. Ends with 1 on any violation.
"""

import argparse
import datetime
import os
import random
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from agent_processes import BROKER, DAY, World, wait_until  # noqa: E402
from cvm_program import same  # noqa: E402
from store_check import expect_equal  # noqa: E402

KINDS = {"begin": "data", "values": "treatment", "plan": "allocation"}
TAKEN_OVER = LED, AT_WORK, AGAIN, WAITED = (
    "partitions that were led",
    "steps at work",
    "the same, another of the kind killed meanwhile",
    "steps that waited",
)
PROCESSES = ("orchestration", "orchestration", "data,evaluation", "treatment", "treatment", "allocation")
FIGURES = ("total_processed", "successful", "failed", "treated", "by_treatment", "refusals", "control")
STEP_LINE = re.compile(r"^(\S+) \w+ event=(turn|turn_began) agent=(\S+) (?:.* step=(-?\d+) shard=(-?\d+))?", re.M)
# Who led a partition, from when.
NOTE_LEASES = (
    "CREATE TABLE lease_taken (resource TEXT, owner TEXT, epoch BIGINT, at BIGINT)",
    """CREATE FUNCTION note_lease() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO lease_taken VALUES (NEW.resource, NEW.owner, NEW.epoch, server_now(0)); RETURN NULL;
    END $$""",
    "CREATE TRIGGER lease_taken AFTER INSERT OR UPDATE OF epoch ON lease FOR EACH ROW EXECUTE FUNCTION note_lease()",
)


def turns(agent):
    """(moment in ms, has begun, worker, (step, shard)) of the beginnings and ends of turns in the log of a process."""
    for moment, event, worker, step, shard in STEP_LINE.findall(agent.log):
        at = datetime.datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp() * 1000
        yield at, event == "turn_began", worker, (int(step or -1), int(shard or -1))


class Kill:
    def __init__(self, victim):
        self.victim = victim
        self.at = time.time() * 1000
        victim.kill()

    def leases(self, taken):
        """Seconds from the kill until each partition that the victim led was led by another."""
        for resource in {resource for resource, _, _, _ in taken}:
            before = [row for row in taken if row[0] == resource and row[3] <= self.at]
            after = [row for row in taken if row[0] == resource and row[3] > self.at]
            if before and after and before[-1][1] == self.victim.name:
                yield (after[0][3] - self.at) / 1000

    def steps_at_work(self, rows, begun):
        """(kind of agents, moment of the next beginning) of each step that it was at."""
        at_work = {}
        for _, has_begun, worker, step in turns(self.victim):
            at_work.pop(worker, None)
            if has_begun:
                at_work[worker] = step
        for name, step_no, shard_no, _, done_by in rows:
            step = (step_no, shard_no)
            later = [at for at, other in begun if other == step and at > self.at]
            # Else it died after its commit, or another was at it already.
            if later and any(other == step and done_by != worker for worker, other in at_work.items()):
                yield KINDS[name], min(later)

    def steps_waiting(self, rows, begun):
        """The same for each that had been sent to its kind and that nobody had begun."""
        for name, step_no, shard_no, queued_at, _ in rows:
            first = min([at for at, other in begun if other == (step_no, shard_no)], default=0)
            if KINDS[name] in self.kinds() and queued_at < self.at < first:
                yield KINDS[name], first

    def kinds(self):
        return self.victim.types.split(",")

    def is_last(self, kind, until, kills):
        """No other process of the kind was killed before that moment."""
        return not any(kind in other.kinds() and self.at < other.at < until for other in kills)


class Loop:
    def __init__(self, options, world):
        self.options = options
        self.world = world
        self.random = random.Random(options.seed)
        self.killed = {}  # by kind of process
        self.seconds = {name: [] for name in TAKEN_OVER}
        self.run_seconds = []
        self.violations = []

    def kills(self):
        return sum(self.killed.values())

    def run(self):
        number = 0
        while self.kills() < self.options.count:
            number += 1
            folder = os.path.join(self.world.folder, "work")
            try:
                self.run_once()
            except (AssertionError, cvm_program.Failure, subprocess.SubprocessError, ValueError) as error:
                kind = getattr(error, "kind", "broken")
                self.violations.append(kind)
                print(f"FAIL run {number} ({kind}): {error}", flush=True)
                if self.options.keep:
                    shutil.copytree(folder, os.path.join(self.options.keep, f"run-{number}"), dirs_exist_ok=True)
            longest = max([0, *sum(self.seconds.values(), [])])
            print(f"run {number}: {self.kills()} kills, longest take-over {longest:.1f} s", flush=True)

    def run_once(self):
        with self.world.agents(level="debug") as agents:
            agents.deployment.change(*NOTE_LEASES)
            for types in PROCESSES:
                agents.start(types)
            start = time.monotonic()
            agents.begin_run(DAY)
            wait_until(agents.workflow, "the run is accepted")
            kills = self.kill_while(agents)
            try:
                summary = agents.end_run()
            except (AssertionError, subprocess.SubprocessError):
                self.tell_rows(agents)
                raise
            self.run_seconds.append(time.monotonic() - start)
            self.measure(agents, kills)
            agents.stop()
            self.check(agents, summary)

    def kill_while(self, agents):
        """Until the run ends or enough were killed."""
        kills = []
        while self.kills() < self.options.count:
            try:
                agents.waiting.wait(self.random.uniform(0, self.options.gap))
                break
            except subprocess.TimeoutExpired:
                pass
            victim = self.random.choice(agents.running())
            kills.append(Kill(victim))
            self.killed[victim.types] = self.killed.get(victim.types, 0) + 1
            agents.start(victim.types)
        return kills

    def measure(self, agents, kills):
        dead = ", ".join(f"'{kill.victim.name}'" for kill in kills) or "''"
        led = f"SELECT count(*) FROM lease WHERE owner IN ({dead})"
        wait_until(lambda: agents.deployment.query(led) == [(0,)], "partitions of the dead are led", pause=0.2)
        taken = agents.deployment.query("SELECT resource, owner, epoch, at FROM lease_taken ORDER BY resource, epoch")
        begun = [(at, step) for agent in agents.started for at, has_begun, _, step in turns(agent) if has_begun]
        rows = agents.deployment.query("SELECT name, step_no, shard_no, queued_at, worker FROM step")
        for kill in kills:
            self.seconds[LED] += kill.leases(taken)
            for kind, at in kill.steps_at_work(rows, begun):
                self.seconds[AT_WORK if kill.is_last(kind, at, kills) else AGAIN].append((at - kill.at) / 1000)
            for kind, at in kill.steps_waiting(rows, begun):
                if kill.is_last(kind, at, kills):
                    self.seconds[WAITED].append((at - kill.at) / 1000)

    def check(self, agents, summary):
        self.world.check(agents, summary)
        for name in FIGURES:
            expect_equal(name, summary[name], self.world.summary[name])
        shards = agents.deployment.query("SELECT shards FROM workflow")[0][0]
        steps = agents.deployment.query("SELECT state, count(*) FROM step GROUP BY state")
        same(steps, [("done", shards + 2)], "rows of steps")

    def tell_rows(self, agents):
        for sql in (
            "SELECT state, recovery_attempts, wake_at, error FROM workflow",
            "SELECT name, shard_no, state, attempt, epoch, due_at, worker, error FROM step ORDER BY step_no, shard_no",
            "SELECT destination, sent_at, message_id FROM outbox",
            "SELECT * FROM lease",
        ):
            print("\n".join(f"    {row}" for row in agents.deployment.query(sql)), flush=True)

    def report(self):
        killed = ", ".join(f"{count} of {types}" for types, count in sorted(self.killed.items()))
        print(f"{self.kills()} kills ({killed}) in {len(self.run_seconds)} runs of {self.options.customers} customers")
        for what, seconds in self.seconds.items():
            print(f"take-over of {what}: {spread(seconds)}")
        print(f"a run: {spread(self.run_seconds)}")
        counts = [self.violations.count(kind) for kind in ("lost", "duplicated", "broken")]
        print("{} lost, {} duplicated, {} other violations; digest {}".format(*counts, self.world.digest))


def spread(seconds):
    if not seconds:
        return "none"
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return f"{len(ordered)}, median {cvm_program.median(ordered):.1f} s, p99 {p99:.1f} s, longest {ordered[-1]:.1f} s"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cvm", help="the program")
    parser.add_argument("count", type=int, help="how many kills")
    parser.add_argument("--customers", type=int, default=100000)
    parser.add_argument("--gap", type=float, default=5, help="seconds between two kills at most (5)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the moments and victims (the time)")
    parser.add_argument("--keep", help="a folder for what is left of runs that failed")
    options = parser.parse_args()
    if shutil.which("psql") is None or not BROKER or not cvm_program.SERVER:
        print("skip: this wants a PostgreSQL and a broker of its own")
        return 77
    print(f"seed {options.seed}, {BROKER.split(':')[0]}", flush=True)
    with cvm_program.scratch("cvm-agent-kills-") as folder:
        loop = Loop(options, World(os.path.abspath(options.cvm), folder, options.customers))
        loop.run()
        loop.report()
    return 1 if loop.violations else 0


if __name__ == "__main__":
    sys.exit(main())
