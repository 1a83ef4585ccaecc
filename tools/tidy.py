#!/usr/bin/env python3
"""Sizes, banned calls and habits of the house style, over src, tests and bench. Prints file:line and the rule.

A function that is better long carries `/* lint: long, because ... */` on the line before its opening brace or in its
first line.
"""
import re
import subprocess
import sys

LINE_MAX = 100
FUNCTION_MAX = 70
FILE_MAX = 1000
HEADER_MAX = 250
PARAMETERS_MAX = 6
BANNED = re.compile(
    r"\b(strcpy|strcat|sprintf|vsprintf|strtok|gets|atoi|atol|rand|srand|localtime|gmtime|system|popen|alloca)\s*\("
)
ALLOCATION = re.compile(r"\b(malloc|calloc|realloc|strdup)\s*\(")
# Catalogue structs are one page of data; these headers are tables.
HEADER_EXCEPTIONS = {"src/model/catalogue.h": 400}


def files():
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "src", "tests", "bench"],
        capture_output=True, text=True, check=True).stdout.split("\n")
    return sorted({f for f in listed if re.search(r"\.(c|h|cc)$", f)})


def strip(text):
    """Blank out comments and strings, keeping line breaks."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def functions(code):
    """(name, parameters, first line, last line) of each function body: house style puts its brace in column 0."""
    lines = code.split("\n")
    start = None
    for number, line in enumerate(lines):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            head = start - 1
            while head > 0 and lines[head - 1].strip() and not lines[head - 1].rstrip().endswith((";", "}")):
                head -= 1
            signature = " ".join(lines[head:start])
            match = re.search(r"(\w+)\s*\((.*)\)\s*$", signature.strip())
            if match:
                depth = 0
                count = 1 if match.group(2).strip() not in ("", "void") else 0
                for c in match.group(2):
                    depth += c == "("
                    depth -= c == ")"
                    count += c == "," and depth == 0
                yield match.group(1), count, start + 1, number + 1, signature
            start = None


def check(path):
    with open(path, encoding="utf-8") as stream:
        text = stream.read()
    code = strip(text)
    lines = text.split("\n")
    problems = []
    limit = HEADER_EXCEPTIONS.get(path, HEADER_MAX) if path.endswith(".h") else FILE_MAX
    if len(lines) - 1 > limit:
        problems.append((1, f"{len(lines) - 1} lines, at most {limit}"))
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_MAX:
            problems.append((number, f"{len(line)} columns, at most {LINE_MAX}"))
        if line.rstrip() != line or "\t" in line:
            problems.append((number, "trailing white space or a tab"))
    is_test = not path.startswith("src/")
    for number, line in enumerate(code.split("\n"), 1):
        match = BANNED.search(line)
        if match and not path.endswith(".cc"):
            problems.append((number, f"banned call {match.group(1)}()"))
        if not is_test and re.match(r"static (?!const|inline|_Thread_local)[^()]*(=|;)", line) \
                and " const " not in line and "pthread_once_t" not in line and not path.startswith(("src/app/", "src/base/log.c")):
            problems.append((number, "static mutable variable"))
    original = text.split("\n")
    for name, count, first, last, signature in functions(code):
        excused = any("lint: long, because" in original[i] for i in range(max(0, first - 3), min(first + 2, len(original))))
        if last - first - 1 > FUNCTION_MAX and not excused:
            problems.append((first, f"{name}() has {last - first - 1} lines, at most {FUNCTION_MAX}"))
        # err does not count, and a read (object, arena, key..., out) is allowed its length: its types differ
        allowed = PARAMETERS_MAX + ("struct cvm_error *" in signature) + ("struct cvm_arena *" in signature)
        if count > allowed:
            problems.append((first, f"{name}() has {count} parameters, at most {PARAMETERS_MAX} and err"))
    return [(path, number, message) for number, message in problems]


def main():
    problems = [p for path in files() for p in check(path)]
    for path, number, message in problems:
        print(f"{path}:{number}: {message}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
