#!/usr/bin/env python3
"""kill -9 at random moments of `cvm import` and `cvm run`.

An undisturbed import and run on a generated base is the reference. Then COUNT times, import and run by turns:
the command starts on a copy, is killed after a random part of the time that the undisturbed one took, and then

- the store opens, and SQLite finds both files whole;
- the import, started again, ends with the same rows; the run with the same plan digest;
- no event and no decision is there twice; the ledger has confirmed exactly the decisions and holds nothing.

Ends with 1 on any violation; what is needed to see it again is printed.
"""

import argparse
import collections
import datetime
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from store_check import Violation, expect_equal, plan, totals  # noqa: E402

UNTIL = datetime.date(2024, 3, 20)


def check_files(deployment):
    for path in deployment.databases:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            found = connection.execute("PRAGMA integrity_check").fetchall()
        except sqlite3.DatabaseError as error:
            raise Violation("broken", f"{os.path.basename(path)}: {error}") from error
        finally:
            connection.close()
        if found != [("ok",)]:
            raise Violation("broken", f"{os.path.basename(path)}: {found[:3]}")


class Loop:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.random = random.Random(options.seed)
        self.day = cvm_program.day_number(UNTIL)
        self.data = os.path.join(folder, "data")
        self.program = options.cvm

    def import_arguments(self):
        return ["import", self.data, "--json"]

    def run_arguments(self):
        return ["run", "--as-of", UNTIL.isoformat(), "--json"]

    def prepare(self):
        """The base, the reference and the copies from which every round starts."""
        self.empty = cvm_program.Deployment.create(
            self.program, os.path.join(self.folder, "empty"), self.options.customers
        )
        cvm_program.run(
            [
                self.program,
                "generate",
                "--customers",
                self.options.customers,
                "--events",
                25,
                "--seed",
                7,
                "--until",
                UNTIL.isoformat(),
                "--out",
                self.data,
                "--quiet",
            ]
            + self.empty.command()[1:]
        )
        self.imported = self.empty.copy(os.path.join(self.folder, "imported"))
        result = self.imported.cvm(*self.import_arguments())
        self.import_seconds = result.seconds
        self.report = result.document
        self.totals = totals(self.imported)
        done = self.imported.copy(os.path.join(self.folder, "done"))
        result = done.cvm(*self.run_arguments())
        self.run_seconds = result.seconds
        self.digest = result.document["summary"]["plan_digest"]
        self.plan = plan(done, self.day)
        if self.plan["digest"] != self.digest:
            raise Violation("broken", "the digest of the rows is not the one that the run printed")
        if self.plan["decisions"] == 0:
            raise Violation("broken", "the reference decided nothing: this loop would prove nothing")
        done.remove()

    def kill(self, deployment, arguments, seconds):
        """Start, wait, kill. Returns the delay, and None for the exit code if the kill came in time."""
        delay = self.random.random() * seconds
        child = subprocess.Popen(
            deployment.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        code = child.wait()
        return delay, None if code == -signal.SIGKILL else code

    def check(self, deployment, was_import):
        opened = deployment.cvm("capacity", "show", "--json", allowed=None)
        if opened.code != 0:
            raise Violation("broken", f"the store does not open: {opened}")
        check_files(deployment)
        if not was_import:
            self.check_run(deployment)
        report = deployment.json(*self.import_arguments())
        expect_equal("rejected records", report["rejected"], self.report["rejected"])
        expect_equal("records read", report["read"], self.report["read"])
        expect_equal(
            "stored and duplicate",
            report["stored"] + report["duplicate"],
            self.report["stored"] + self.report["duplicate"],
        )
        for name, found in totals(deployment).items():
            expect_equal(name, found, self.totals[name])
        if was_import:
            self.check_run(deployment)

    def check_run(self, deployment):
        summary = deployment.json(*self.run_arguments())["summary"]
        found = plan(deployment, self.day)
        expect_equal("decisions", found["decisions"], self.plan["decisions"])
        expect_equal("digest of the rows", found["digest"], self.digest)
        expect_equal("plan digest", summary["plan_digest"], self.digest)
        expect_equal("ledger", found["ledger"], self.plan["ledger"])

    def round(self, number):
        """One kill; returns what happened to the command: 'killed' or 'ended'."""
        was_import = number % 2 == 0
        start = self.empty if was_import else self.imported
        arguments = self.import_arguments() if was_import else self.run_arguments()
        seconds = self.import_seconds if was_import else self.run_seconds
        work = start.copy(os.path.join(self.folder, "work"))
        delay, code = self.kill(work, arguments, seconds)
        label = f"{number + 1}: {arguments[0]} killed after {delay * 1000:.1f} of {seconds * 1000:.0f} ms"
        if self.options.verbose:
            print(label, file=sys.stderr)
        try:
            if code not in (None, 0):
                raise Violation("broken", f"the command ended by itself with {code}")
            self.check(work, was_import)
        except cvm_program.Failure as failure:
            raise Violation("broken", f"{label}: {failure}") from failure
        except Violation as violation:
            raise Violation(violation.kind, f"{label}: {violation}") from violation
        return "killed" if code is None else "ended"


def parse_options():
    parser = argparse.ArgumentParser(description="kill -9 at random moments of import and run")
    parser.add_argument("cvm")
    parser.add_argument("count", type=int, help="kills that must hit a working command")
    parser.add_argument(
        "--customers",
        type=int,
        default=int(os.environ.get("CVM_KILL_CUSTOMERS", "0")),
        help="size of the base (default 20000, 5000 below 50 kills)",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", metavar="FOLDER", help="copy the store of the last violation there")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    options.customers = options.customers or (20000 if options.count >= 50 else 5000)
    return options


def main():
    options = parse_options()
    found = collections.Counter()
    start = time.monotonic()
    with cvm_program.scratch("cvm-kill-") as folder:
        loop = Loop(options, folder)
        loop.prepare()
        print(
            f"kill loop: {options.customers} customers, seed {options.seed}, import {loop.import_seconds:.2f} s, "
            f"run {loop.run_seconds:.2f} s, {loop.plan['decisions']} decisions",
            file=sys.stderr,
        )
        number = 0
        while found["killed"] < options.count and number < 3 * options.count + 10:
            try:
                found[loop.round(number)] += 1
            except Violation as violation:
                found["killed"] += 1
                found[violation.kind] += 1
                print(f"kill loop: {violation.kind}: {violation}", file=sys.stderr)
                if options.keep:
                    cvm_program.Deployment(options.cvm, os.path.join(folder, "work")).copy(options.keep)
            number += 1
    seconds = time.monotonic() - start
    line = f"{found['killed']} kills: {found['lost']} lost, {found['duplicated']} duplicated"
    line += f", {found['broken']} broken" if found["broken"] else ""
    if options.json:
        print(
            json.dumps(
                {
                    "kills": found["killed"],
                    "lost": found["lost"],
                    "duplicated": found["duplicated"],
                    "broken": found["broken"],
                    "ended_before": found["ended"],
                    "seconds": seconds,
                    "customers": options.customers,
                    "import_seconds": loop.import_seconds,
                    "run_seconds": loop.run_seconds,
                }
            )
        )
    else:
        print(f"{line} ({found['ended']} more ended before the kill; {seconds:.0f} s)")
    return 1 if found["lost"] + found["duplicated"] + found["broken"] or found["killed"] < options.count else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (cvm_program.Failure, Violation) as failure:
        print(f"kill loop: {failure}", file=sys.stderr)
        sys.exit(1)
