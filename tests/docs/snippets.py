#!/usr/bin/env python3
"""Makes a GoogleTest source of the cpp blocks of a Markdown page.

Usage: snippets.py page.md out.cc

Each block is the body of a function, which is run in a fiber and on a plain thread. A test is called after
the heading that its block is under. A header NAME_snippet.h beside this script, if there is one, is what NAME.md is
compiled with, else snippet.h. Every section between the first with a block and the last must have
one, of at most 15 lines. Compile errors name the page and the line.
"""
import pathlib
import re
import sys

LINES_MAX = 15
HEAD = """// Made from {page} by tests/docs/snippets.py.
#include "docs/{header}"

namespace {{

"""


def main(page, out):
    def offence(number, message):
        sys.exit(f"{page}:{number}: {message}")

    sections, block = [], None  # sections: [heading, line, [(first line, text lines)]]
    for number, line in enumerate(open(page, encoding="utf-8").read().split("\n"), 1):
        if block is not None:
            if line.startswith("```"):
                if len(block[1]) > LINES_MAX:
                    offence(block[0], f"a snippet of {len(block[1])} lines; {LINES_MAX} at most")
                sections[-1][2].append(block)
                block = None
            else:
                block[1].append(line)
        elif line == "```cpp":
            if not sections:
                offence(number, "a snippet before the first heading")
            block = (number + 1, [])
        elif line.startswith("## "):
            sections.append((line[3:].strip(), number, []))
    if block is not None:
        offence(block[0], "a snippet without an end")
    with_blocks = [i for i, section in enumerate(sections) if section[2]]
    if not with_blocks:
        offence(1, "no snippets")

    header = pathlib.Path(page).stem + "_snippet.h"
    if not (pathlib.Path(__file__).parent / header).exists():
        header = "snippet.h"
    text = HEAD.format(page=pathlib.Path(page).name, header=header)
    names = set()
    for heading, number, blocks in sections[with_blocks[0]:with_blocks[-1] + 1]:
        if not blocks:
            offence(number, f"no snippet for {heading}")
        for i, (first, lines) in enumerate(blocks):
            name = re.sub(r"\W", "_", heading) + ("" if i == 0 else f"_{i + 1}")
            if name in names:
                offence(number, f"a second section {heading}")
            names.add(name)
            body = "\n".join(lines)
            text += f"BATON_SNIPPET({name}) {{\n#line {first} \"{page}\"\n{body}\n}}\n\n"
    open(out, "w", encoding="utf-8").write(text + "}  // namespace\n")


main(*sys.argv[1:])
