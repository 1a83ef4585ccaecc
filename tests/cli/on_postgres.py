#!/usr/bin/env python3
"""The scripts that drive cvm over a store, once more on PostgreSQL: CVM SCRIPT...

Runs under tests/support/postgres_server.sh, so that one server serves them all; each base is a database of its own
(cvm_program.Deployment). What is of SQLite alone says so and is skipped.
"""

import concurrent.futures
import os
import subprocess
import sys
import time

AT_ONCE = 2


def run(program, script):
    start = time.monotonic()
    result = subprocess.run(
        [sys.executable, script, program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return script, result.returncode, result.stdout, time.monotonic() - start


def main():
    program, scripts = os.path.abspath(sys.argv[1]), sys.argv[2:]
    failed = []
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run, program, script) for script in scripts]):
            script, code, out, seconds = done.result()
            print(f"== {os.path.basename(script)}: exit {code}, {seconds:.0f} s", flush=True)
            print("\n".join(line for line in out.splitlines() if code != 0 or line.startswith("skip")), flush=True)
            if code != 0:
                failed.append(os.path.basename(script))
    print(f"failed on PostgreSQL: {', '.join(sorted(failed)) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
