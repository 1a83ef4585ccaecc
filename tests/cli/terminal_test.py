#!/usr/bin/env python3
"""The terminal: help, manual pages, completion, "did you mean", colour and questions: CVM [WORD...]

Rules are functions whose names state them; WORDs choose those whose names contain one.
"""

import os
import pty
import re
import select
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import cvm_program  # noqa: E402
from cvm_program import expect, same  # noqa: E402

TERMINAL = {"TERM": "xterm"}


class World(cvm_program.World):
    def names(self):
        return cvm_program.run([self.program, "help", "--names"]).out.split("\n")[:-1]

    def on_terminal(self, arguments, answer="", environment=None):
        """What the terminal shows, and the exit status; `answer` is typed at the first question."""
        child, terminal = pty.fork()
        if child == 0:
            os.environ.update(TERMINAL)
            os.environ.pop("NO_COLOR", None)
            os.environ.update(environment or {})
            os.execv(self.program, self.deployment.command(*arguments))
        shown = b""
        while select.select([terminal], [], [], 60)[0]:
            try:
                piece = os.read(terminal, 65536)
            except OSError:
                break  # the child has gone
            if not piece:
                break
            shown += piece
            if answer and b"[y/N]" in shown:
                os.write(terminal, answer.encode())
                answer = ""
        os.close(terminal)
        return shown.decode("utf-8", "replace"), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def in_shell(self, shell, script, folder=None):
        environment = dict(os.environ, PATH=os.path.dirname(self.program) + os.pathsep + os.environ["PATH"])
        result = subprocess.run([shell, "-c", script], cwd=folder or self.folder, capture_output=True, text=True,
                                env=environment, check=False)
        same((result.returncode, result.stderr), (0, ""), f"{shell}: {script[-200:]}")
        return result.stdout


# ---- help ----


def every_command_has_help_with_an_example(world):
    names = world.names()
    expect(len(names) >= 28, f"commands: {names}")
    for name in names:
        text = cvm_program.run([world.program, *name.split(), "--help"]).out
        expect(max(map(len, text.splitlines())) <= 100, f"a line of the help of {name} is too wide")
        expect(f"Usage: cvm {name}" in text, text)
        expect(re.search(rf"^  .*\bcvm {name}\b", text, re.M), f"no example of cvm {name}:\n{text}")
        same(cvm_program.run([world.program, "help", *name.split()]).out, text, f"help {name}")


def the_overview_names_every_command_once_by_task(world):
    overview = cvm_program.run([world.program, "help"]).out
    found = re.findall(r"^  ([a-z-]+(?: [a-z]+)?)  +[A-Z]", overview.split("First steps")[0], re.M)
    same(sorted(found), sorted(world.names()), "commands in the overview")
    for title in ("Data", "Decide", "Plans", "Catalogue", "Operate"):
        expect(f"\n{title}\n" in overview, f"no task {title}")


def help_on_a_family_lists_its_commands(world):
    for arguments in (["help", "treatment"], ["treatment", "--help"]):
        text = cvm_program.run([world.program, *arguments]).out
        for name in ("treatment list", "treatment add", "treatment remove"):
            expect(f"  {name}" in text, text)
        expect("plan list" not in text, text)


def what_is_unknown_is_answered_with_what_is_near(world):
    cases = [
        (["rnu"], "Did you mean 'cvm run'?"),
        (["plann", "show", "latest"], "Did you mean 'cvm plan show'?"),
        (["plan", "shw"], "Did you mean 'cvm plan show'?"),
        (["list", "plan"], "Did you mean 'cvm plan list'?"),
        (["exlain", "latest", "U1"], "Did you mean 'cvm explain'?"),
        (["treatment", "frobnicate"], "After 'cvm treatment' comes one of: list"),
        (["help", "rnu"], "Did you mean 'cvm run'?"),
        (["run", "--as", "2024-03-20"], "Did you mean '--as-of'?"),
        (["run", "--dry_run"], "Did you mean '--dry-run'?"),
        (["frobnicate"], "'cvm --help' lists the commands."),
    ]
    for arguments, told in cases:
        result = cvm_program.run([world.program, *arguments], allowed=(2,))
        expect(told in result.err and not result.out, f"{arguments}: {result.err}")


def unknown_treatments_and_runs_are_answered_with_what_is_near(world):
    hint = world.json("treatment", "show", "retention_emial", allowed=(1,))["error"]["hint"]
    same(hint, "Did you mean 'retention_email'?", "treatment")
    hint = world.json("treatment", "show", "data", allowed=(1,))["error"]["hint"]
    same(hint, "Did you mean 'data_boost'?", "beginning of a treatment")
    hint = world.json("trigger", "show", "churn_rsik", allowed=(1,))["error"]["hint"]
    same(hint, "Did you mean 'churn_risk'?", "trigger")
    world.json("generate", "--customers", "50", "--seed", "1", "--until", "2026-03-01")
    run = world.json("run", "--as-of", "2026-03-01")["run_id"]
    wrong = run[:-1] + ("0" if run[-1] != "0" else "1")
    hint = world.json("plan", "show", wrong, allowed=(1,))["error"]["hint"]
    same(hint, f"Did you mean '{run}'?", "run")
    hint = world.json("plan", "show", "lates", allowed=(1,))["error"]["hint"]
    same(hint, "Did you mean 'latest'?", "latest")


# ---- manual pages ----


def there_is_a_manual_page_for_every_command(world):
    folder = os.path.join(os.path.dirname(world.program), "man1")
    if not os.path.isdir(folder):
        raise cvm_program.Skip(f"there is no folder {folder}")
    wanted = ["cvm.1"] + [f"cvm-{name.replace(' ', '-')}.1" for name in world.names()]
    same(sorted(os.listdir(folder)), sorted(wanted), "pages")


def manual_pages_are_clean(world):
    checks = [c for c in (["mandoc", "-Tlint", "-Wwarning"], ["groff", "-ww", "-man", "-Tutf8"]) if shutil.which(c[0])]
    if not checks:
        raise cvm_program.Skip("neither mandoc nor groff is here")
    for name in ["", *world.names()]:
        page = cvm_program.run([world.program, "help", "--man", *name.split()]).out
        expect(page.startswith(".TH CVM"), page[:80])
        for check in checks:
            result = subprocess.run(check, input=page, capture_output=True, text=True, check=False)
            told = result.stderr + (result.stdout if check[0] == "mandoc" else "")
            same(told, "", f"{check[0]} on {name or 'cvm'}")


# ---- completion ----


def bash_completes(world, words):
    script = f"""source <(cvm completion bash)
COMP_WORDS=({' '.join(words)}{" ''" if words[-1] == "cvm" else ""}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_cvm; printf '%s\\n' "${{COMPREPLY[@]}}" """
    return world.in_shell("bash", script).split()


def bash_completes_commands_options_and_ids(world):
    expect({"run", "treatment", "plan", "help"} <= set(bash_completes(world, ["cvm"])), "first words")
    same(bash_completes(world, ["cvm", "trea"]), ["treatment"], "a family")
    same(bash_completes(world, ["cvm", "treatment", "rem"]), ["remove"], "a member")
    same(bash_completes(world, ["cvm", "help", "treatment", "rem"]), ["remove"], "help")
    same(bash_completes(world, ["cvm", "run", "--as"]), ["--as-of"], "an option")
    same(bash_completes(world, ["cvm", "treatment", "show", "retention_e"]), ["retention_email"], "an id")
    same(bash_completes(world, ["cvm", "run", "--treatment", "service_s"]), ["service_sms"], "a value")
    same(bash_completes(world, ["cvm", "apply", "cata"]), ["catalogue"], "a folder")
    same(bash_completes(world, ["cvm", "frobnicate", "x"]), [], "an unknown command")


def zsh_and_fish_take_their_scripts(world):
    if shutil.which("zsh"):
        script = "autoload -U compinit; compinit -u -D; source <(cvm completion zsh)\n"
        script += "local reply reply_files; _cvm_reply '' treatment; print -r -- $reply"
        expect("remove" in world.in_shell("zsh", script).split(), "members in zsh")
    if shutil.which("fish"):
        script = "cvm completion fish | source; complete -C 'cvm treatment rem'; complete -C 'cvm treatment show data_'"
        out = world.in_shell("fish", script)
        expect(out.startswith("remove\t") and "data_boost" in out, f"fish: {out}")
    if not shutil.which("zsh") and not shutil.which("fish"):
        raise cvm_program.Skip("neither zsh nor fish is here")


def an_unknown_shell_is_a_usage_error(world):
    expect("bash, zsh or fish" in world.cvm("completion", "tcsh", allowed=(2,)).err, "allowed shells")


# ---- colour, questions, progress ----


def colour_is_for_terminals_that_want_it(world):
    shown, _ = world.on_terminal(["treatment", "list"])
    expect("\033[1m" in shown, f"bold headers: {shown[:100]!r}")
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        shown, _ = world.on_terminal(["treatment", "list"], environment=environment)
        expect("\033" not in shown, f"{environment}: {shown[:100]!r}")
    expect("\033" not in world.cvm("treatment", "list").out, "a pipe")
    shown, _ = world.on_terminal(["treatment", "show", "nothing_like_it"])
    expect("\033[1;31mcvm:\033[0m" in shown, f"errors: {shown[:100]!r}")


def a_person_is_asked_before_a_treatment_is_stored(world):
    words = "Send gamers a discount by sms, limit 10"
    for answer, count in (("n\n", 12), ("\n", 12), ("y\n", 13)):
        shown, code = world.on_terminal(["treatment", "add", words], answer=answer)
        expect("Store this? [y/N]" in shown and code == 0, f"{answer!r}: {shown}")
        expect(("Nothing was stored." in shown) == (count == 12), shown)
        same(len(world.json("treatment", "list")["treatments"]), count, f"after {answer!r}")
    shown, _ = world.on_terminal(["treatment", "disable", "data_boost", "--yes"])
    expect("[y/N]" not in shown, "--yes asks nothing")


def progress_is_for_terminals_on_standard_error(world):
    arguments = ["generate", "--customers", "3000", "--seed", "1"]
    shown, code = world.on_terminal(arguments)
    expect(code == 0 and "\r\033[K" in shown and "/s" in shown, f"a bar: {shown[-300:]!r}")
    for environment in ({"TERM": "dumb"},):
        shown, code = world.on_terminal(["import", world.folder], environment=environment)
        expect("\033" not in shown, f"{environment}: {shown[:200]!r}")


HELPERS = {"expect", "same", "bash_completes", "main"}


def main():
    program, words = sys.argv[1], sys.argv[2:]
    with cvm_program.scratch("cvm-terminal-") as folder:
        template = cvm_program.Deployment.create(program, os.path.join(folder, "template"), 1000)
        return cvm_program.run_rules(
            cvm_program.rules_of(globals(), HELPERS),
            lambda: World(template.copy(os.path.join(folder, "work"))),
            words,
        )


if __name__ == "__main__":
    sys.exit(main())
