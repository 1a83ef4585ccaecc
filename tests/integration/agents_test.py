#!/usr/bin/env python3
"""Agents as processes over a real store and a real broker: CVM [WORD...]; only rules with one of the words in their name.

One base is decided in one process on SQLite; what agents on PostgreSQL decide over RabbitMQ or Kafka must be the same, whatever
is killed, stopped, flushed or paused meanwhile. Runs under tests/support/postgres_server.sh and one of rabbitmq_server.sh and
kafka_server.sh; many kills are in tests/soak/agent_kills.sh. Rules are functions whose names state them.
"""

import os
import shutil
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import cvm_program  # noqa: E402
import kafka_offsets  # noqa: E402
import redis_server  # noqa: E402
from agent_processes import BROKER, DAY, REST, Lock, World, control_broker, wait_until  # noqa: E402
from cvm_program import Skip, expect, same  # noqa: E402

CUSTOMERS = int(os.environ.get("CVM_AGENT_CUSTOMERS", "3000"))
KILLS = 3
IS_RABBITMQ = BROKER.startswith("amqp")


def run_in_background(agents):
    agents.begin_run(DAY)
    wait_until(agents.workflow, "the run is accepted")


# ---- the same plan ----


def four_processes_decide_what_one_process_decides(world):
    with world.agents() as agents:
        agents.start_set()
        world.check(agents, agents.run(DAY))
        workers = {worker for _, _, _, worker in agents.steps("values")}
        agents.stop()
        shards = len(agents.steps("values"))
        same(agents.ends("done"), shards + 2, "turns that ended well")
        same([agents.ends(end) for end in ("stale", "failed", "later", "poison")], [0, 0, 0, 0], "other turns")
        print(f"     {shards} shards, valued by {len(workers)} workers", flush=True)


def a_run_that_is_asked_for_again_is_the_same_run(world):
    with world.agents() as agents:
        agents.start_set(1)
        world.check(agents, agents.run(DAY))
        again = agents.deployment.json("run", "--as-of", DAY)
        same((again["reused"], again["summary"]["plan_digest"]), (True, world.digest), "asked for again")
        same(agents.deployment.query("SELECT count(*) FROM workflow"), [(1,)], "workflows")


def agents_that_share_their_state_on_redis_decide_the_same(world):
    with redis() as server, world.agents(state=server.url) as agents:
        agents.start_set()
        wait_until(lambda: len(members(server)) == 4, "four processes say on Redis that they are there")
        world.check(agents, agents.run(DAY))


def agents_of_a_kind_share_the_work_in_proportion_to_their_workers(world):
    with world.agents() as agents:
        agents.start(REST)
        one = agents.start("treatment", 1)
        three = agents.start("treatment", 3)
        with Lock(agents.deployment, "run_part"):  # nobody finishes: each takes what it has room for
            run_in_background(agents)
            wait_until(lambda: len(turns_held_up(agents)) >= 2, "both processes are at work")
        world.check(agents, agents.end_run())
        agents.stop()
        counts = (one.ends("done"), three.ends("done"))
        print(f"     turns of one worker and of three: {counts}", flush=True)
        expect(counts[0] >= 1 and counts[1] >= 3, f"turns of one worker and of three: {counts}")


def two_versions_side_by_side_share_a_run(world):
    """The other version is this program under another number: what is tried is that both are told apart and work together."""
    version = cvm_program.run([world.base.program, "--version"]).out.split()[1]
    other = version[:-1] + ("8" if version[-1] == "9" else "9")
    with redis() as server, world.agents(state=server.url) as agents:
        program = os.path.join(agents.deployment.folder, "cvm-other")
        with open(world.base.program, "rb") as built, open(program, "wb") as copy:
            copy.write(built.read().replace(version.encode() + b"\0", other.encode() + b"\0"))
        os.chmod(program, 0o755)
        agents.start(REST)
        pair = agents.start("treatment"), agents.start("treatment", program=program)
        found = wait_until(lambda: len(members(server)) == 3 and server.tell("EVAL", VALUES, "0"), "they are there")
        expect(f'"{version}"' in found and f'"{other}"' in found, f"versions: {found}")
        with Lock(agents.deployment, "run_part"):
            run_in_background(agents)
            wait_until(lambda: len(turns_held_up(agents)) == 2, "both versions are at work")
        world.check(agents, agents.end_run())
        agents.stop()
        expect(all(agent.ends("done") for agent in pair), f"turns: {[agent.turns() for agent in pair]}")


def a_message_that_nobody_can_handle_is_dead_and_the_agents_stay_up(world):
    with world.agents() as agents:
        agents.start_set(1)
        with Lock(agents.deployment, "run_part"):
            run_in_background(agents)
            wait_until(lambda: turns_held_up(agents), "a part is being valued")
            agents.deployment.change(MISSENT)
        wait_until(lambda: agents.ends("poison"), "it is refused")
        world.check(agents, agents.end_run())
        same(len(agents.running()), 2, "processes")
        agents.stop()
        same(agents.ends("poison"), 1, "turns that ended as poison")
        if IS_RABBITMQ:  # which counts its queues every few seconds
            wait_until(lambda: "1" in queues_of_the_dead(), "it is among the dead", pause=0.5)


# ---- kills ----


def a_run_survives_kills_of_random_agents(world):
    longest = 0
    for _ in range(KILLS):
        with world.agents() as agents:
            agents.start_set()
            run_in_background(agents)
            time.sleep(world.random.random() * 0.4)
            victim = world.random.choice(agents.running())
            longest = max(longest, kill_and_finish(world, agents, [victim]))
            agents.stop()
    print(f"     {KILLS} kills: 0 lost, 0 duplicated; longest from kill to end {longest:.1f} s", flush=True)


def another_orchestrator_takes_over_from_one_that_is_killed(world):
    with world.agents() as agents:
        first = agents.start("orchestration")
        agents.start("data,allocation,evaluation")
        agents.start("treatment")
        second = agents.start("orchestration")
        with Lock(agents.deployment, "run_part"):
            run_in_background(agents)
            wait_until(lambda: turns_held_up(agents), "a part is being valued")
            owner = owner_of(agents, (first, second))
            owner.kill()
        start = time.monotonic()
        world.check(agents, agents.end_run())
        print(f"     {time.monotonic() - start:.1f} s from the kill to the end", flush=True)
        expect((second if owner is first else first).is_running(), "the other one runs")


def an_allocation_that_is_killed_leaves_its_capacity_to_the_next(world):
    with world.agents() as agents:
        agents.start("orchestration,data,evaluation")
        agents.start("treatment")
        first = agents.start("allocation")
        with Lock(agents.deployment, "run_part"):
            run_in_background(agents)
            wait_until(lambda: turns_held_up(agents), "a part is being valued")
            publishing = Lock(agents.deployment, "plan")
        with publishing:
            wait_until(lambda: publishing.waiting((first,)), "one has held its capacity and publishes")
            first.kill()
        agents.start("allocation")
        world.check(agents, agents.end_run())


def a_run_goes_on_after_everything_was_killed(world):
    with world.agents() as agents:
        victims = agents.start_set()
        run_in_background(agents)
        wait_until(lambda: any(state == "done" for _, state, _, _ in agents.steps("values")), "a part is done")
        agents.waiting.kill()
        agents.waiting.wait()
        for victim in victims:
            victim.kill()
        start = time.monotonic()
        agents.start_set()
        world.check(agents, agents.run(DAY))
        same(agents.deployment.query("SELECT count(*) FROM workflow"), [(1,)], "workflows")
        print(f"     {time.monotonic() - start:.1f} s from the new start to the end", flush=True)


def where_work_goes_on_in_kafka_is_known_to_the_store_alone(world):
    if IS_RABBITMQ:
        raise Skip("RabbitMQ knows by itself what is done")
    with world.agents() as agents:
        victims = agents.start_set()
        run_in_background(agents)
        wait_until(lambda: any(state == "done" for _, state, _, _ in agents.steps("values")), "a part is done")
        for victim in victims:
            victim.kill()
        before = dict(((queue, number), place) for queue, number, place in agents.deployment.query(OFFSETS))
        expect(before, "the store knows places when everything is dead")
        agents.start_set()
        world.check(agents, agents.end_run())
        agents.stop()
        after = dict(((queue, number), place) for queue, number, place in agents.deployment.query(OFFSETS))
        expect(all(after[key] >= place for key, place in before.items()), f"places only grow: {before}, {after}")
        turns = sum(place for (queue, _), place in after.items() if queue == "treatment")
        expect(turns >= len(agents.steps("values")), f"places of treatment: {after}")
        same({queue for queue, _ in after} - {"data", "treatment", "allocation", "evaluation"}, set(), "other queues")
        address = kafka_offsets.address_of(BROKER)
        committed = {name: kafka_offsets.committed_topics(address, name) for name in kafka_offsets.groups(address)}
        expect(committed, "Kafka knows groups")
        same({name for name, topics in committed.items() if topics}, set(), "groups that committed offsets")


def an_allocation_that_slept_is_fenced_and_the_plan_is_the_other_ones(world):
    broker = BROKER + ("?heartbeat=2" if IS_RABBITMQ else "")
    with world.agents(broker=broker) as agents:
        agents.start("orchestration,data,evaluation")
        agents.start("treatment")
        first = agents.start("allocation")
        second = agents.start("allocation")
        with Lock(agents.deployment, "decision") as lock:
            run_in_background(agents)
            sleeper = wait_until(lambda: lock.waiting((first, second)), "one allocates")[0]
            sleeper.send(signal.SIGSTOP)
            stopped = time.monotonic()
        other = second if sleeper is first else first
        summary = agents.end_run()
        print(f"     {time.monotonic() - stopped:.1f} s from the stop to the end", flush=True)
        same(agents.steps("plan")[0][3].split("@")[1], other.name, "who decided")
        sleeper.send(signal.SIGCONT)
        wait_until(sleeper.turns, "the sleeper ends its turn")
        world.check(agents, summary)
        agents.stop()
        same((sleeper.ends("done"), sleeper.turns()[0][2]), (0, "stale"), f"turns of the sleeper: {sleeper.turns()}")


# ---- servers ----


def redis_that_is_flushed_and_stopped_changes_no_plan(world):
    with redis() as server, world.agents(state=server.url) as agents:
        agents.start_set()
        with Lock(agents.deployment, "run_part"):
            run_in_background(agents)
            wait_until(lambda: turns_held_up(agents), "a part is being valued")
            server.tell("FLUSHALL")
            wait_until(lambda: len(members(server)) == 4, "they say again that they are there")
            server.stop()
        world.check(agents, agents.end_run())
        server.start()
        wait_until(lambda: len(members(server)) == 4, "they come back to Redis")
        agents.stop()
        expect(not any("event=nobody_serves" in agent.log for agent in agents.started), "nobody was taken for gone")


def work_that_nobody_serves_is_told_of_and_waits(world):
    with redis() as server, world.agents(state=server.url) as agents:
        rest = agents.start(REST)
        wait_until(lambda: members(server), "it says on Redis that it is there")
        server.tell("EVAL", OF_OLD, "0")
        run_in_background(agents)
        wait_until(lambda: "event=nobody_serves queue=treatment" in rest.log, "it is told of")
        agents.start("treatment")
        wait_until(lambda: "event=served_again queue=treatment" in rest.log, "it is told that it is over")
        world.check(agents, agents.end_run())
        agents.stop()
        same(rest.log.count("event=nobody_serves"), 1, "queues that nobody serves")


def a_broker_that_stands_still_holds_up_a_run_and_loses_nothing(world):
    broker = BROKER + ("?heartbeat=2" if IS_RABBITMQ else "")
    with world.agents(broker=broker) as agents:
        agents.start_set()
        with Lock(agents.deployment, "run_part"):
            run_in_background(agents)
            wait_until(lambda: turns_held_up(agents), "a part is being valued")
            control_broker("pause")
            paused = time.monotonic()
        try:
            wait_until(lambda: time.monotonic() > paused + 6, "more than two heartbeats")
            same(agents.workflow()[0], "running", "state of the run")
        finally:
            control_broker("resume")
        world.check(agents, agents.end_run())
        agents.stop()


def a_broker_that_is_killed_holds_up_a_run_and_loses_nothing(world):
    with world.agents() as agents:
        agents.start_set()
        control_broker("settle")
        with Lock(agents.deployment, "run_part"):
            run_in_background(agents)
            wait_until(lambda: turns_held_up(agents), "a part is being valued")
            control_broker("kill")
        control_broker("start")
        world.check(agents, agents.end_run())
        agents.stop()


# ---- helpers ----


def redis():
    if not redis_server.is_there():
        raise Skip("there is no redis-server here")
    return redis_server.RedisServer()


ALIVE = """
    local names, now = {}, redis.call('TIME')[1] * 1000
    for _, key in ipairs(redis.call('KEYS', '*agents*')) do
        local member = redis.call('HGETALL', key)
        for i = 1, #member, 2 do
            if tonumber(string.match(member[i + 1], '^%d+')) > now then names[#names + 1] = member[i] end
        end
    end
    return table.concat(names, ' ')
"""


VALUES = """
    local values = ''
    for _, key in ipairs(redis.call('KEYS', '*agents*')) do
        values = values .. table.concat(redis.call('HVALS', key), ' ')
    end
    return values
"""
OFFSETS = "SELECT queue, partition_no, next_offset FROM broker_offset"
# Whoever there is has had the time to say so.
OF_OLD = "for _, key in ipairs(redis.call('KEYS', '*group:agents')) do redis.call('HSET', key, '', '1') end return 'done'"
# What is for data goes to treatment as well.
MISSENT = """
    INSERT INTO outbox (shard, message_id, destination, envelope, not_before, created_at)
    SELECT shard, message_id, 'treatment', envelope, 0, created_at FROM outbox WHERE destination = 'data' LIMIT 1
"""


def members(server):
    """Processes that say on Redis that they are there."""
    return server.tell("EVAL", ALIVE, "0").split()


def queues_of_the_dead():
    """How many messages are in each."""
    return [line.split()[1] for line in control_broker("queues").splitlines() if ".dead" in line]


def turns_held_up(agents):
    """Sessions that wait for the lock of a test: turns that are under way."""
    rows = agents.deployment.query(
        "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    return rows


def owner_of(agents, candidates):
    rows = agents.deployment.query("SELECT owner FROM lease WHERE resource LIKE 'orchestrator/%' AND owner <> ''")
    owners = {owner for (owner,) in rows}
    return next(agent for agent in candidates if agent.name in owners)


def kill_and_finish(world, agents, victims):
    """What is killed starts again, as `cvm up` sees to; seconds from the kill to the end of the run."""
    for victim in victims:
        victim.kill()
    killed_ms = time.time_ns() // 1000000
    for victim in victims:
        agents.start(victim.types)
    world.check(agents, agents.end_run())
    return max(0, (agents.workflow()[2] - killed_ms) / 1000)


HELPERS = {
    "same", "expect", "run_in_background", "redis", "members", "queues_of_the_dead", "turns_held_up", "owner_of", "kill_and_finish", "control_broker",
    "wait_until", "main", "World", "Lock", "Skip",
}  # fmt: skip


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if shutil.which("psql") is None or not BROKER or not cvm_program.SERVER:
        print("skip: this test wants a PostgreSQL and a broker of its own")
        return 77
    program = os.path.abspath(sys.argv[1])
    with cvm_program.scratch("cvm-agents-test-") as folder:
        world = World(program, folder, CUSTOMERS)
        return cvm_program.run_rules(cvm_program.rules_of(globals(), HELPERS), lambda: world, sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
