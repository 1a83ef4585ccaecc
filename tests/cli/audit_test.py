#!/usr/bin/env python3
"""The audit log as a chain, as people and scripts see it: CVM [WORD...]

Rules are functions whose names state them; WORDs choose those whose names contain one.
"""

import os
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402


class World(cvm_program.World):
    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as stream:
            stream.write(text)
        return self.path(name)

    def verify(self, *arguments, intact=True):
        code = 0 if intact else 1
        document = self.json("audit", "verify", *arguments, allowed=(code,))
        same(document["intact"], intact, document)
        same(document["fault"] is None, intact, document)
        return document


ROW = "INSERT INTO audit (at, who, action, object, why) VALUES (1, 'me', 'plan', 'x', 'y')"


def init_makes_a_key_that_only_its_owner_may_read(world):
    mode = os.stat(world.path("audit.key")).st_mode
    same(stat.S_IMODE(mode), 0o600, "mode of the key file")
    expect("audit.key" not in os.listdir(os.path.join(world.folder, "catalogue")), "the key is in the catalogue")


def commands_that_write_leave_a_signed_chain(world):
    world.cvm("stop", "add", "channel", "email", "--why", "a test")
    document = world.verify()
    rows = world.query("SELECT count(*) FROM audit")[0][0]
    expect(rows >= 2, "the catalogue and the stop")
    same((document["rows"], document["signed_rows"], document["unsealed"]), (rows, rows, 0), document)
    same(document["key"], world.path("audit.key"), "whose key")


def an_altered_row_is_named_and_fails_the_command(world):
    world.change("UPDATE audit SET who = 'nobody' WHERE audit_id = 1")
    fault = world.verify(intact=False)["fault"]
    same((fault["kind"], fault["audit_id"], fault["position"]), ("altered", 1, 1), fault)
    text = world.cvm("audit", "verify", allowed=(1,)).out
    expect("ALTERED: audit row 1" in text, text)


def rows_of_another_program_are_counted_until_they_are_sealed(world):
    before = world.verify()["rows"]
    world.change(ROW, ROW)
    document = world.verify()
    same((document["rows"], document["unsealed"]), (before, 2), document)
    text = world.cvm("audit", "verify").out
    expect("2 rows are not sealed yet" in text, text)
    sealed = world.json("audit", "seal")
    same((sealed["sealed"], sealed["rows"], sealed["signed"]), (2, before + 2, True), sealed)
    same(world.verify()["unsealed"], 0, "unsealed")


def a_head_kept_elsewhere_tells_what_was_cut_off(world):
    world.change(ROW)
    head = world.json("audit", "seal")["head"]
    world.verify("--expect", head)
    world.change(ROW)
    world.cvm("audit", "seal")
    world.verify("--expect", head)
    world.change("DELETE FROM audit WHERE audit_id > 1", "DELETE FROM audit_chain WHERE audit_id > 1",
                 "DELETE FROM audit_checkpoint WHERE rows > 1")
    world.verify()
    same(world.verify("--expect", head, intact=False)["fault"]["kind"], "unexpected", "kind")
    result = world.cvm("audit", "verify", "--expect", "abc", allowed=(2,))
    expect("64 hex digits" in result.err, result.err)


def the_public_key_alone_is_enough_to_check(world):
    key = world.cvm("audit", "key").out.strip()
    document = world.json("audit", "key")
    same((document["public_key"], document["created"]), (key, False), "the key")
    public = world.write("audit.pub", f"# of the bank\n{key}\n")
    os.remove(world.path("audit.key"))
    same(world.verify("--public-key", public)["key"], public, "whose key")
    same(world.verify()["key"], None, "no key at hand")
    other = world.write("other.pub", "00" * 32)
    fault = world.verify("--public-key", other, intact=False)["fault"]
    same((fault["kind"], fault["checkpoint"]), ("checkpoint", 1), fault)
    bad = world.write("bad.pub", "no key\n")
    result = world.cvm("audit", "verify", "--public-key", bad, allowed=(1,))
    expect("line 1" in result.err, result.err)
    new = world.json("audit", "key")
    same(new["created"], True, "a new key")
    expect(new["public_key"] != key, "the same key again")


def a_key_that_others_may_read_is_refused_and_the_work_is_done(world):
    os.chmod(world.path("audit.key"), 0o644)
    result = world.cvm("audit", "verify", allowed=(1,))
    expect("chmod 600" in result.err, result.err)
    result = world.cvm("stop", "add", "channel", "sms", "--why", "a test")
    expect("could not be sealed" in result.err, result.err)
    os.chmod(world.path("audit.key"), 0o600)
    expect(world.verify()["unsealed"] > 0, "sealed with a key that is not secret")


def without_a_key_rows_are_chained_and_not_signed(world):
    os.remove(world.path("audit.key"))
    world.change("DELETE FROM audit_checkpoint", ROW)
    document = world.json("audit", "seal")
    same(document["signed"], False, document)
    document = world.verify()
    same((document["checkpoints"], document["signed_rows"]), (0, 0), document)
    expect("No row is signed" in world.cvm("audit", "verify").out, "it does not say so")


def a_store_without_a_configuration_has_no_key(world):
    store = world.deployment.url
    arguments = [world.program, "audit", "key", "--store", store]
    result = cvm_program.run(arguments, allowed=(1,))
    expect("cvm.yaml" in result.err, result.err)
    cvm_program.run([world.program, "audit", "seal", "--store", store])


HELPERS = {"expect", "same", "main"}


def main():
    program, words = sys.argv[1], sys.argv[2:]
    with cvm_program.scratch("cvm-audit-") as folder:
        template = cvm_program.Deployment.create(program, os.path.join(folder, "template"), 1000)
        return cvm_program.run_rules(
            cvm_program.rules_of(globals(), HELPERS),
            lambda: World(template.copy(os.path.join(folder, "work"))),
            words,
        )


if __name__ == "__main__":
    sys.exit(main())
