#!/usr/bin/env python3
"""Execute the examples of a document as written: every ```sh block, in order, in one fresh folder per document.

Usage: run_examples.py PROGRAM DOCUMENT. A block runs under `set -eu` and starts in the document's folder; blocks marked
```shell are for a person (they install or build) and are not run here. A line `! COMMAND` has to fail: a shell by itself would
take either end.

`<!-- needs: data/poc -->` names a folder below $CVM_SHARED (else ../shared beside the source) without which the document is
skipped (exit 77). With `<!-- outputs are checked -->` the lines of a ```text block behind a ```sh block must be in that block's
output, in their order; runs of blanks are one blank, and a line may be part of a longer one.
"""
import os
import re
import subprocess
import sys
import tempfile

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def squeeze(text):
    return re.sub(r"[ \t]+", " ", text).strip()


def first_missing(wanted, output):
    """The first line of `wanted` that does not stand in the output behind the ones before it; None = all do."""
    lines = [squeeze(line) for line in output.split("\n")]
    at = 0
    for line in wanted.strip("\n").split("\n"):
        while at < len(lines) and squeeze(line) not in lines[at]:
            at += 1
        if at == len(lines):
            return line
        at += 1
    return None


def main():
    program, document = sys.argv[1:3]
    shared = os.path.abspath(os.environ.get("CVM_SHARED") or os.path.join(SOURCE, "..", "shared"))
    with open(document, encoding="utf-8") as stream:
        text = stream.read()
    for needed in re.findall(r"^<!-- needs: (.*) -->$", text, flags=re.M):
        if not os.path.exists(os.path.join(shared, needed)):
            print(f"skipped: {document} needs {needed}, and {shared} has none; CVM_SHARED names the folder that has")
            return 77
    is_checked = "<!-- outputs are checked -->" in text
    blocks = re.findall(r"^```(sh|text)\n(.*?)^```$", text, flags=re.S | re.M)
    environment = dict(os.environ, CVM_SHARED=shared)
    environment["PATH"] = os.path.dirname(os.path.abspath(program)) + os.pathsep + os.environ["PATH"]
    count = 0
    output = ""
    with tempfile.TemporaryDirectory() as folder:
        for kind, block in blocks:
            if kind == "text":
                missing = first_missing(block, output) if is_checked else None
                if missing is not None:
                    print(f"{document}: example {count} does not print\n{missing}\nbut\n{output}")
                    return 1
                continue
            count += 1
            script = re.sub(r"^! (.*)$", r"if \1; then echo 'this was to fail' >&2; exit 1; fi", block, flags=re.M)
            result = subprocess.run(["sh", "-eu", "-c", script], cwd=folder, text=True, capture_output=True,
                                    env=environment)
            output = result.stdout
            if result.returncode != 0:
                print(f"{document}: example {count} ended with {result.returncode}\n{block}\n"
                      f"{result.stdout}{result.stderr}")
                return 1
    print(f"{document}: {count} examples")
    return 0


if __name__ == "__main__":
    sys.exit(main())
