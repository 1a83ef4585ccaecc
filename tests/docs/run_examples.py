#!/usr/bin/env python3
"""Execute the examples of a document as written: every ```sh block, in order, in one fresh folder per document.

Usage: run_examples.py PROGRAM DOCUMENT. A block runs under `set -eu` and starts in the document's folder; blocks marked
```shell are for a person (they install or build) and are not run here.
"""
import os
import re
import subprocess
import sys
import tempfile


def main():
    program, document = sys.argv[1:3]
    with open(document, encoding="utf-8") as stream:
        blocks = re.findall(r"^```sh\n(.*?)^```$", stream.read(), flags=re.S | re.M)
    path = os.path.dirname(os.path.abspath(program)) + os.pathsep + os.environ["PATH"]
    with tempfile.TemporaryDirectory() as folder:
        for number, block in enumerate(blocks, 1):
            result = subprocess.run(["sh", "-eu", "-c", block], cwd=folder, text=True, capture_output=True,
                                    env=dict(os.environ, PATH=path))
            if result.returncode != 0:
                print(f"{document}: example {number} ended with {result.returncode}\n{block}\n"
                      f"{result.stdout}{result.stderr}")
                return 1
    print(f"{document}: {len(blocks)} examples")
    return 0


if __name__ == "__main__":
    sys.exit(main())
