#!/usr/bin/env python3
"""Checks the table of docs/configuration.md against the code.

Usage: configuration.py SOURCE_DIR

Each CMake option, preset, and environment variable of the library is a row, and each row is one of these.
"""
import json
import pathlib
import re
import sys

# Set for the tests' own child processes.
INTERNAL = {"BATON_TEST_INSIDE", "BATON_TEST_CGROUP", "BATON_TEST_PIDS_GROUP", "BATON_SKIPPED_TESTS"}


def text_of(root, patterns):
    files = sorted(f for p in patterns for f in root.glob(p) if f.is_file() and "build" not in f.relative_to(root).parts)
    return "\n".join(f.read_text(encoding="utf-8", errors="replace") for f in files)


def rows(root):
    """The names in the table, by their place."""
    found = {}
    for line in (root / "docs/configuration.md").read_text(encoding="utf-8").splitlines():
        cells = [c.strip() for c in line.split("|")]
        if len(cells) >= 5 and cells[1].startswith("`"):
            found.setdefault(cells[2].strip("`"), set()).add(cells[1].strip("`"))
    return found


def settings(root):
    """The names in the code, by their place."""
    cmake = text_of(root, ["CMakeLists.txt", "*/CMakeLists.txt", "*/*/CMakeLists.txt", "cmake/*.cmake"])
    options = set(re.findall(r"\boption\(\s*(BATON_\w+)", cmake))
    options |= set(re.findall(r"\bset\((BATON_\w+) [^)]*?\bCACHE\b", cmake))
    if re.search(r"\bCMAKE_CXX_STANDARD MATCHES", cmake):
        options.add("CMAKE_CXX_STANDARD")
    library = text_of(root, [f + "/**/*" + e for f in ("sched", "syscall", "netpoll", "runtime")
                             for e in (".h", ".cc")])
    tests = text_of(root, ["tests/**/*.h", "tests/**/*.cc"])
    presets = json.loads((root / "CMakePresets.json").read_text(encoding="utf-8"))["configurePresets"]
    return {
        "CMake": options,
        "environment": set(re.findall(r'"(BATON_[A-Z_]+)"', library)),
        "macro": set(re.findall(r"^#ifndef (BATON_[A-Z_]*OWNER)$", library, re.MULTILINE)),
        "preset": {p["name"] for p in presets if not p.get("hidden")},
        "dev": set(re.findall(r"\$\{(BATON_\w+)", (root / "dev").read_text(encoding="utf-8"))),
        "tests": set(re.findall(r'getenv\("(BATON_\w+)"\)', tests)) - INTERNAL - {"BATON_PROCS"},
    }


def main(root):
    root = pathlib.Path(root)
    table, code = rows(root), settings(root)
    wrong = [f"{place}: {name} is not in the table" for place in code for name in code[place] - table.get(place, set())]
    wrong += [f"{place}: {name} is in the table only" for place in table for name in table[place] - code.get(place, set())]
    for line in sorted(wrong):
        print("docs/configuration.md: " + line)
    if not any(code.values()):
        sys.exit("docs/configuration.md: nothing was found in the code")
    sys.exit(1 if wrong else 0)


main(*sys.argv[1:])
