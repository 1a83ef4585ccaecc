#!/usr/bin/env python3
"""`cvm up` as who looks after processes of agents: CVM [WORD...]; only rules with one of the words in their name.

Runs under tests/support/postgres_server.sh and one of rabbitmq_server.sh and kafka_server.sh. Rules are functions whose names
state them.
"""

import os
import re
import shutil
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import cvm_program  # noqa: E402
from agent_processes import BROKER, PATIENCE, REST, TURN, Agents, Lock, configure, wait_until  # noqa: E402
from cvm_program import expect, same  # noqa: E402

CUSTOMERS = 1000
DAY = "2024-03-20"
STARTED = re.compile(r"event=agent_process_started types=(\S+) pid=(\d+)")
ENDED = re.compile(r"event=agent_process_ended types=(\S+) pid=(\d+) how=(\w+) number=(\d+) deaths=(\d+) pause_ms=(\d+)")
READY = re.compile(r"agents (\S+) run as \S+?\.(\d+);")


class World:
    def __init__(self, program, folder):
        self.folder = folder
        self.base = cvm_program.Deployment.create(program, os.path.join(folder, "base"), CUSTOMERS)
        self.base.cvm("generate", "--customers", CUSTOMERS, "--events", 10, "--seed", 7, "--until", DAY)

    def agents(self):
        return Agents(self.base.copy(os.path.join(self.folder, "work")))


def hear_signals():
    """Whoever started the tests may have ignored signals (nohup, a shell's &), and cvm leaves such ones ignored."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


class Up:
    """`cvm up` in a session of its own, as a terminal or systemd starts it; at the end nothing of it is left."""

    def __init__(self, agents, *options):
        self.log_path = os.path.join(agents.deployment.folder, "up.log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                agents.deployment.command("up", *options),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, preexec_fn=hear_signals,
            )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        left = self.running()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in left:
            kill(pid, signal.SIGCONT)
            kill(pid, signal.SIGKILL)
        if kind is not None:
            print(self.log[-4000:], flush=True)

    @property
    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def started(self, types):
        """Numbers of all processes that it started of these types, in order."""
        return [int(pid) for name, pid in STARTED.findall(self.log) if name == types]

    def running(self):
        return {int(pid) for _, pid in STARTED.findall(self.log) if is_alive(int(pid))}

    def wait_for(self, count):
        """Until so many are at work: each says so once; their numbers."""
        def ready():
            found = self.running() & {int(pid) for _, pid in READY.findall(self.log)}
            expect(self.process.poll() is None, f"cvm up ended: {self.log[-2000:]}")
            return found if len(found) == count else None

        return wait_until(ready, f"{count} processes are at work")

    def deaths(self):
        return ENDED.findall(self.log)

    def end(self):
        """Its exit status; nothing that it started may be left."""
        code = self.process.wait(PATIENCE)
        same(self.running(), set(), "processes that are left")
        return code

    def finish(self):
        self.process.send_signal(signal.SIGTERM)
        same(self.end(), 0, "exit status")


def is_alive(pid):
    """One that nobody has reaped yet is not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def kill(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def hold_up_a_run(agents):
    """A run in the background, of which a turn is under way until the lock is released."""
    lock = Lock(agents.deployment, "run_part")
    agents.begin_run(DAY)
    held_up = "SELECT application_name FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    rows = wait_until(lambda: agents.deployment.query(held_up), "a part is being valued")
    return lock, {int(re.search(r"(\d+)\D*$", name).group(1)) for (name,) in rows}


def check_run(agents):
    summary = agents.end_run()
    same((summary["total_processed"], summary["failed"]), (CUSTOMERS, 0), "customers, and those that failed")
    agents.deployment.cvm("audit", "verify")


# ---- to the end ----


def a_turn_that_is_under_way_ends_before_the_set_does(world):
    with world.agents() as agents:
        with Up(agents, "--processes", 2, "--workers", 1) as up:
            up.wait_for(3)
            lock, busy = hold_up_a_run(agents)
            with lock:
                up.process.send_signal(signal.SIGTERM)
                wait_until(lambda: up.running() <= busy, "who has no turn ends")
                same((up.process.poll(), up.running()), (None, busy), "cvm up waits for who has one")
            same(up.end(), 0, "exit status")
            same(up.deaths(), [], "deaths")
            turns = [end for name, message, end, _ in TURN.findall(up.log) if message == "TREATMENT_REQUEST"]
            expect(turns and set(turns) == {"done"}, f"turns: {turns}")
        with Up(agents, "--processes", 1) as up:
            check_run(agents)
            up.finish()


def a_second_signal_does_not_wait(world):
    with world.agents() as agents:
        with Up(agents, "--processes", 1) as up:
            up.wait_for(2)
            lock, busy = hold_up_a_run(agents)
            with lock:
                up.process.send_signal(signal.SIGTERM)
                wait_until(lambda: up.running() <= busy, "who has no turn ends")
                up.process.send_signal(signal.SIGTERM)
                same(up.process.wait(PATIENCE), -signal.SIGTERM, "exit status")
                wait_until(lambda: not up.running(), "who has a turn ends, too")
        with Up(agents) as up:
            check_run(agents)
            up.finish()


def who_does_not_end_is_killed(world):
    with world.agents() as agents, Up(agents, "--processes", 1) as up:
        up.wait_for(2)
        kill(up.started("treatment")[0], signal.SIGSTOP)
        up.process.send_signal(signal.SIGTERM)
        same(up.end(), 0, "exit status")
        expect("event=agent_processes_killed processes=1 " in up.log, up.log)


def a_terminal_that_interrupts_or_hangs_up_ends_the_set_in_order(world):
    for number in (signal.SIGINT, signal.SIGHUP):
        with world.agents() as agents, Up(agents, "--processes", 1) as up:
            up.wait_for(2)
            os.killpg(up.process.pid, number)  # a terminal sends it to all of them
            same(up.end(), 0, "exit status")
            same((up.deaths(), up.log.count("turns:")), ([], 2), "deaths, and processes that ended in order")


# ---- what dies ----


def what_is_killed_starts_again_later_and_later(world):
    kills = 7  # more often than one that fails by itself
    with world.agents() as agents, Up(agents, "--processes", 1) as up:
        up.wait_for(2)
        rest = up.started(REST)
        for count in range(1, kills + 1):
            pid = wait_until(lambda: up.started("treatment")[count - 1 :], "it is started")[0]
            kill(pid, signal.SIGKILL)
            wait_until(lambda: len(up.deaths()) == count, "its death is told")
            same(up.deaths()[-1], ("treatment", str(pid), "signal", "9", str(count), str(100 << count - 1)), "what is told")
        up.wait_for(2)
        same(up.started(REST), rest, "the others")
        agents.begin_run(DAY)
        check_run(agents)
        up.finish()


def agents_end_when_the_set_is_killed(world):
    with world.agents() as agents:
        with Up(agents, "--processes", 2, "--workers", 1) as up:
            up.wait_for(3)
            lock, busy = hold_up_a_run(agents)
            with lock:
                up.process.kill()
                up.process.wait()
                wait_until(lambda: up.running() <= busy, "who has no turn ends")
            wait_until(lambda: not up.running(), "who had one ends after it")
        with Up(agents, "--processes", 1) as up:
            check_run(agents)
            up.finish()


# ---- what can not run ----


def what_no_agent_could_run_with_is_said_before_any_is_started(world):
    with world.agents() as agents:
        configure(agents.deployment, broker="carrier-pigeon://coop")
        with Up(agents) as up:
            same(up.end(), 1, "exit status")
            same(STARTED.findall(up.log), [], "processes")
            expect("carrier-pigeon" in up.log, up.log)


def options_that_agents_do_not_take_end_the_set(world):
    with world.agents() as agents, Up(agents, "--workers", 4, "--workers-max", 2) as up:
        same(up.end(), 1, "exit status")
        expect("'--workers-max' is less than '--workers'" in up.log, up.log)
        same(len(up.started("treatment")), 1, "tries")


def agents_that_fail_over_and_over_end_the_set(world):
    with world.agents() as agents, Up(agents) as up:
        up.wait_for(2)
        configure(agents.deployment, broker="carrier-pigeon://coop")
        kill(up.started("treatment")[0], signal.SIGKILL)
        same(up.end(), 1, "exit status")
        deaths = [(how, int(number)) for _, _, how, number, _, _ in up.deaths()]
        same(deaths, [("signal", 9)] + [("exit", 1)] * 6, "deaths")
        expect("agents treatment can not run" in up.log and "`cvm agent treatment` by hand says why" in up.log, up.log)



HELPERS = {
    "same", "expect", "hear_signals", "is_alive", "kill", "hold_up_a_run", "check_run", "configure", "wait_until", "main",
    "World", "Up", "Agents", "Lock",
}  # fmt: skip


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if shutil.which("psql") is None or not BROKER or not cvm_program.SERVER:
        print("skip: this test wants a PostgreSQL and a broker of its own")
        return 77
    program = os.path.abspath(sys.argv[1])
    with cvm_program.scratch("cvm-up-test-") as folder:
        world = World(program, folder)
        return cvm_program.run_rules(cvm_program.rules_of(globals(), HELPERS), lambda: world, sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
