"""What a store holds, in sums that change when any row is lost, doubled or other: for tests that break commands off.

Works on SQLite and on the PostgreSQL of STORE_URL.
"""

import collections
import hashlib

import cvm_program

# Rows that count, and sums that change when any of them does.
ROWS = """
    SELECT coalesce(sum(copies), 0), count(*), sum(content), sum(attributes), sum(private)
    FROM (
        SELECT count(*) AS copies, sum(e.content & 4294967295) AS content, sum(length(e.attributes)) AS attributes,
            coalesce(sum(length(e.private)), 0) AS private
        FROM event e JOIN batch b USING (batch)
        WHERE b.state = 'closed'
        GROUP BY e.customer_key, e.source, e.identity
    ) AS identity
"""
CONSENTS = """
    SELECT count(*), count(DISTINCT c.customer_key), sum(c.content & 4294967295)
    FROM consent c JOIN batch b USING (batch) WHERE b.state = 'closed'
"""
CUSTOMERS = "SELECT count(*), count(DISTINCT customer_id) FROM customer"
PACKED = "SELECT count(*), sum(length(body)) FROM packed"
LEDGER = """
    SELECT constraint_id, CASE WHEN period LIKE 'run:%' THEN 'run' ELSE period END, granted, held, confirmed
    FROM ledger ORDER BY 1, 2
"""

DECISIONS = "SELECT customer_id, treatment, arm, ghost, state FROM decision"


class Violation(AssertionError):
    """kind: 'lost', 'duplicated' or 'broken'."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


def expect_equal(what, found, wanted):
    if found == wanted:
        return
    more = isinstance(found, (int, float)) and isinstance(wanted, (int, float)) and found > wanted
    raise Violation("duplicated" if more else "lost", f"{what}: {found} instead of {wanted}")


def totals(deployment):
    """What a store holds after an import."""
    rows, identities, *event_sums = deployment.query(ROWS)[0]
    consents, consenting, consent_sum = deployment.query(CONSENTS)[0]
    customers, ids = deployment.query(CUSTOMERS)[0]
    packed, packed_bytes = deployment.query(PACKED, database=1)[0]
    if rows != identities:
        raise Violation("duplicated", f"{rows} events with {identities} identities")
    if consents != consenting:
        raise Violation("duplicated", f"{consents} consents of {consenting} customers")
    if customers != ids:
        raise Violation("duplicated", f"{customers} customers with {ids} ids")
    return {
        "events": rows,
        "event sums": event_sums,
        "consents": consents,
        "consent sum": consent_sum,
        "customers": customers,
        "packed journeys": packed,
        "packed bytes": packed_bytes,
    }


def decision_rows(deployment):
    """How many of all runs there are, what was kept from a customer among them, and a sum over who got what."""
    rows = sorted(deployment.query(DECISIONS))
    return len(rows), hashlib.blake2b(repr(rows).encode(), digest_size=16).hexdigest()


def plan(deployment, day):
    """The decisions that stand, checked against the ledger."""
    decisions = deployment.query(cvm_program.LIVE_DECISIONS, (day,))
    customers = {customer for customer, _ in decisions}
    if len(customers) != len(decisions):
        raise Violation("duplicated", f"{len(decisions)} live decisions for {len(customers)} customers")
    holds = deployment.query("SELECT count(*) FROM ledger_hold")[0][0]
    running = deployment.query("SELECT count(*) FROM run WHERE state = 'running'")[0][0]
    if holds != 0 or running != 0:
        raise Violation("broken", f"{holds} holds and {running} unfinished runs are left")
    given = collections.Counter(treatment for _, treatment in decisions)
    ledger = deployment.query(LEDGER)
    for constraint, period, granted, held, confirmed in ledger:
        if held != 0:
            raise Violation("broken", f"{constraint} of {period} still holds {held}")
        if confirmed > granted:
            raise Violation("duplicated", f"{constraint} of {period}: {confirmed} of {granted}")
        if constraint.startswith("capacity:"):
            expect_equal(f"units of {constraint} of {period}", confirmed, given[constraint[len("capacity:") :]])
    return {"digest": cvm_program.plan_digest(decisions), "decisions": len(decisions), "ledger": ledger}
