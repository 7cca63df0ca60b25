#!/usr/bin/env python3
"""Checks docs/syscalls.md against the headers.

Usage: call_names.py SOURCE_DIR

Each sys::name on the page must be declared in a public header of syscall, and each other name in the second and
the last column of a table in a public header of any folder. Each typed call must be on the page.
"""
import pathlib
import re
import sys


def declared_in(header):
    """The names that a header declares in namespace baton::sys: functions and types."""
    code = re.sub(r"namespace detail \{.*?\n\}  // namespace detail\n", "", header, flags=re.DOTALL)
    code = re.sub(r"//[^\n]*", "", code)
    calls = set(re.findall(r"^(?:inline |constexpr )*result<[^;{}()]*?>+\s+(\w+)\(", code, re.MULTILINE))
    others = set(re.findall(r"^(?:class|struct)\s+(?:\[\[\w+\]\]\s+)?(\w+)", code, re.MULTILINE))
    others |= set(re.findall(r"^(?:\[\[nodiscard\]\] )?[\w:]+ (\w+)\(", code, re.MULTILINE))
    # a declaration whose requires clause stands before its type
    others |= set(re.findall(r"result<long> (raw_syscall|syscall)\(", code))
    return calls, others


def main(root):
    root = pathlib.Path(root)
    page = (root / "docs/syscalls.md").read_text(encoding="utf-8")
    calls, types, words = set(), set(), set()
    for header in root.glob("syscall/*.h"):
        text = header.read_text(encoding="utf-8")
        if text.startswith("// Public API: ") or header.name == "nonblocking.h":
            found = declared_in(text)
            types |= found[1]
            if header.name == "nonblocking.h":
                types |= found[0]
            else:
                calls |= found[0]
    for header in root.glob("*/*.h"):
        if header.read_text(encoding="utf-8").startswith("// Public API: "):
            words |= set(re.findall(r"\w+", header.read_text(encoding="utf-8")))
    offences = []
    on_page = set()
    for number, line in enumerate(page.split("\n"), 1):
        for name in re.findall(r"\bsys::(?:nb::)?(\w+)", line):
            on_page.add(name)
            if name not in calls | types | {"nb"}:
                offences.append(f"docs/syscalls.md:{number}: no such call: sys::{name}")
        if line.startswith("|") and not line.startswith("|---"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            for cell in cells[1:]:
                for name in re.findall(r"`(\w+)`", cell):
                    if name not in words:
                        offences.append(f"docs/syscalls.md:{number}: in no public header: {name}")
    for name in sorted(calls - on_page):
        offences.append(f"docs/syscalls.md: sys::{name} is missing")
    if len(calls) < 100:
        offences.append(f"only {len(calls)} calls found in the headers: this check does not see them")
    print("\n".join(offences) or f"{len(on_page)} names are true")
    return 1 if offences else 0


sys.exit(main(sys.argv[1]))
