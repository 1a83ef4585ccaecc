#!/usr/bin/env python3
"""What deploy/ says is so: CVM. Units that systemd takes, a composition that parses, commands and options that there are."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

DEPLOY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import Skip, expect, same  # noqa: E402

UNITS = ("cvm-agent@.service", "cvm-up.service")


def read(name):
    with open(os.path.join(DEPLOY, name), encoding="utf-8") as stream:
        return stream.read()


def check_command(program, words, what):
    """Options of a command line stand in the help of its command."""
    help_text = cvm_program.run([program, words[1], "--help"]).out
    for option in (word for word in words if word.startswith("--")):
        expect(option in help_text, f"{what}: `cvm {words[1]}` has no {option}")


def units_start_commands_that_there_are(program):
    for unit in UNITS:
        text = read(unit)
        check_command(program, re.search(r"^ExecStart=(.*)$", text, re.M).group(1).split(), unit)
        for line in ("Type=exec", "KillSignal=SIGTERM", "TimeoutStopSec=60", "Restart=on-failure", "NoNewPrivileges=yes"):
            expect(line in text.splitlines(), f"{unit} has no {line}")


def systemd_takes_the_units(program):
    if shutil.which("systemd-analyze") is None:
        raise Skip("there is no systemd-analyze here")
    with tempfile.TemporaryDirectory() as folder:
        for unit in UNITS:
            path = os.path.join(folder, unit.replace("@.", "@treatment."))
            with open(path, "w", encoding="utf-8") as copy:
                copy.write(read(unit).replace("/usr/local/bin/cvm", program))
            found = subprocess.run(
                ["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, timeout=60, check=False
            )
            said = [line for line in found.stderr.splitlines() if os.path.basename(path) in line]
            same(said, [], unit)


def the_composition_parses_and_starts_a_command_that_there_is(program):
    try:
        import yaml
    except ImportError as error:
        raise Skip("there is no yaml module of Python here") from error
    services = yaml.safe_load(read("compose.yaml"))["services"]
    same(sorted(services), ["cvm", "kafka", "postgres", "rabbitmq", "redis"], "services")
    check_command(program, services["cvm"]["command"], "compose.yaml")
    same(services["kafka"]["profiles"], ["kafka"], "Kafka is an option")
    for needed in services["cvm"]["depends_on"]:
        expect("healthcheck" in services[needed], f"{needed} says when it is ready")


def main():
    program = os.path.abspath(sys.argv[1])
    rules = cvm_program.rules_of(globals(), {"read", "check_command", "main", "Skip", "expect", "same"})
    return cvm_program.run_rules(rules, lambda: program, sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
