#!/usr/bin/env python3
"""The same records give the same plan_digest, whatever the threads, chunk size, compiler and instruction set, and in
whatever order they were imported.

For each seed a base is generated to files once. Every row of the table is a copy of a store and one run on it; the
digest is also computed from the rows of the store, apart from cvm.
"""

import argparse
import datetime
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
UNTIL = datetime.date(2024, 3, 20)
SETTINGS = [(threads, chunk) for threads in (1, 2) for chunk in (64, 1024, 4096)]


def build_variants(program):
    """(name, program), the default build first."""
    variants = [("default", program)]
    for name, compiler, flags in (("native", "gcc", "-march=native"), ("clang", "clang", "")):
        folder = f"build-{name}"
        environment = {**os.environ, "CFLAGS": flags, "CXXFLAGS": flags}
        subprocess.run(
            ["tools/build_variant.sh", folder, compiler, "", "cvm"],
            cwd=ROOT,
            env=environment,
            check=True,
            stdout=sys.stderr,
        )
        variants.append((name, os.path.join(ROOT, folder, "cvm")))
    return variants


def shuffle(data, folder, seed):
    """The same files with their lines in another order; returns them in another order, too."""
    generator = random.Random(seed)
    os.makedirs(folder)
    paths = []
    for path in cvm_program.data_files(data):
        with open(path, "rb") as stream:
            lines = stream.read().splitlines(keepends=True)
        generator.shuffle(lines)
        paths.append(os.path.join(folder, os.path.basename(path)))
        with open(paths[-1], "wb") as stream:
            stream.writelines(lines)
    generator.shuffle(paths)
    return paths


class Matrix:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.rows = []

    def measure(self, seed, build, program, order, store, settings):
        day = cvm_program.day_number(UNTIL)
        for threads, chunk in settings:
            work = store.copy(os.path.join(self.folder, "work"))
            work.program = os.path.abspath(program)
            summary = work.json("run", "--as-of", UNTIL.isoformat(), "--threads", threads, "--chunk-size", chunk)[
                "summary"
            ]
            decisions = work.query(cvm_program.LIVE_DECISIONS, (day,))
            digest = summary["plan_digest"]
            if cvm_program.plan_digest(decisions) != digest:
                digest = f"rows of the store say {cvm_program.plan_digest(decisions)}, cvm {digest}"
            self.rows.append((seed, build, order, threads, chunk, len(decisions), digest))
            work.remove()

    def import_paths(self, program, name, paths, arguments=()):
        store = cvm_program.Deployment.create(program, os.path.join(self.folder, name), self.options.customers)
        store.cvm("import", *paths, "--quiet", *arguments)
        return store

    def one_seed(self, seed, variants):
        data = os.path.join(self.folder, f"data-{seed}")
        program = variants[0][1]
        store = cvm_program.Deployment.create(program, os.path.join(self.folder, "init"), self.options.customers)
        store.cvm(
            "generate",
            "--customers",
            self.options.customers,
            "--events",
            25,
            "--seed",
            seed,
            "--until",
            UNTIL.isoformat(),
            "--out",
            data,
            "--quiet",
        )
        store.remove()
        files = cvm_program.data_files(data)
        store = self.import_paths(program, "store", files)
        for name, variant in variants:
            self.measure(seed, name, variant, "as generated", store, SETTINGS)
        store.remove()
        shuffled = self.import_paths(
            program, "shuffled", shuffle(data, os.path.join(self.folder, f"mixed-{seed}"), seed)
        )
        self.measure(seed, "default", program, "shuffled", shuffled, [(2, 1024)])
        shuffled.remove()
        for name, variant in variants[1:]:
            store = self.import_paths(variant, f"store-{name}", files)
            self.measure(seed, name, variant, f"imported by {name}", store, [(2, 1024)])
            store.remove()
        return [row for row in self.rows if row[0] == seed]


def main():
    parser = argparse.ArgumentParser(description="the same plan from every build, setting and import order")
    parser.add_argument("cvm")
    parser.add_argument("customers", type=int)
    parser.add_argument("seeds", type=int)
    parser.add_argument("--this-build-only", action="store_true")
    options = parser.parse_args()
    variants = [("default", options.cvm)] if options.this_build_only else build_variants(options.cvm)
    differing = 0
    print(f"{'seed':>4}  {'build':8} {'records':20} {'threads':>7} {'chunk':>5} {'decisions':>9}  plan digest")
    with cvm_program.scratch("cvm-digest-") as folder:
        matrix = Matrix(options, folder)
        for seed in range(1, options.seeds + 1):
            rows = matrix.one_seed(seed, variants)
            for row in rows:
                is_same = row[6] == rows[0][6] and row[5] > 0
                differing += not is_same
                print(
                    f"{row[0]:>4}  {row[1]:8} {row[2]:20} {row[3]:>7} {row[4]:>5} {row[5]:>9}  "
                    f"{row[6][:16] if is_same else row[6] + '  DIFFERS'}",
                    flush=True,
                )
    print(f"{len(matrix.rows)} runs, {options.seeds} seeds, {options.customers} customers: {differing} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except cvm_program.Failure as failure:
        print(f"digest matrix: {failure}", file=sys.stderr)
        sys.exit(1)
