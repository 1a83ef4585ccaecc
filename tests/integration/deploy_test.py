#!/usr/bin/env python3
"""What deploy/ says is so: CVM. Units that systemd takes, a composition that parses, commands and options that there are."""

import json
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
    build = services["cvm"]["build"]
    tree = os.path.join(DEPLOY, build["context"])
    expect(os.path.exists(os.path.join(tree, build["dockerfile"])), "what builds its image is there")
    same(os.path.realpath(os.path.join(tree, "deploy")), os.path.realpath(DEPLOY), "it is built from this tree")


def steps_of(dockerfile):
    """(instruction, rest) of each, lines that go on joined."""
    lines = [line for line in dockerfile.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(None, 1)) for line in lines]


def the_image_copies_what_there_is_and_runs_nothing_as_root(program):
    steps = steps_of(read("Dockerfile"))
    known = {"ARG", "FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "STOPSIGNAL", "CMD"}
    same({step for step, _ in steps} - known, set(), "instructions")
    stages = [rest for step, rest in steps if step == "FROM"]
    same((len(stages), stages[0].split()[1:]), (2, ["AS", "build"]), "a stage that builds, and one that runs")
    tree = os.path.join(DEPLOY, "..")
    for step, rest in steps:
        if step == "COPY" and not rest.startswith("--from="):
            expect(os.path.exists(os.path.join(tree, rest.split()[0])), f"COPY {rest}")
        for script in re.findall(r"tools/\w+\.sh", rest if step == "RUN" else ""):
            expect(os.access(os.path.join(tree, script), os.X_OK), f"{script} can be run")
    same([rest for step, rest in steps if step == "USER"], ["cvm"], "who runs it")
    expect("useradd" in " ".join(rest for step, rest in steps if step == "RUN"), "that user is made")
    command = json.loads(steps[-1][1])
    same(steps[-1][0], "CMD", "the last instruction")
    check_command(program, command, "Dockerfile")
    for shell in (rest for step, rest in steps if step == "RUN"):
        same(subprocess.run(["sh", "-n"], input=shell, text=True, check=False).returncode, 0, shell)


def the_image_gets_the_packages_that_the_program_is_linked_with(program):
    if shutil.which("dpkg-query") is None or shutil.which("objdump") is None:
        raise Skip("this is no Debian system that builds")
    script = os.path.join(DEPLOY, "..", "tools", "runtime_packages.sh")
    packages = cvm_program.run([script, program]).out.split()
    for wanted in (r"libc6", r"libsqlite3-0", r"libyaml-0-2", r"libstdc\+\+6", r"tzdata"):
        expect(any(re.fullmatch(wanted, package) for package in packages), f"{wanted} is not among {packages}")
    same([package for package in packages if package.endswith("-dev")], [], "what is only for building")
    for package in packages:
        found = cvm_program.run(["dpkg-query", "-W", "-f", "${Package}\n", package]).out.split()
        expect(package in found, f"{package} is a package")


def main():
    program = os.path.abspath(sys.argv[1])
    rules = cvm_program.rules_of(globals(), {"read", "check_command", "steps_of", "main", "Skip", "expect", "same"})
    return cvm_program.run_rules(rules, lambda: program, sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
