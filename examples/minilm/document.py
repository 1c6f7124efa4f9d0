# SPDX-License-Identifier: Apache-2.0
"""Tables of Markdown, and where they go: to the terminal as they grow, and between the marks of a file."""
import argparse
import pathlib

BEGIN, END = "<!-- begin -->\n", "<!-- end -->"


def row(*cells):
    return f"| {' | '.join(map(str, cells))} |"


def header(*names):
    return [row(*names), row(*["---"] * len(names))]


def main(description, lines):
    """The whole program: prints `lines` and, with --write FILE, puts them into it."""
    options = argparse.ArgumentParser(description=description.splitlines()[0])
    options.add_argument("--write", type=pathlib.Path, metavar="FILE", help="put the tables between the marks of this file")
    file, done = options.parse_args().write, []
    if file:
        before, rest = file.read_text().split(BEGIN)
        after = rest.split(END)[1]
    for line in lines:
        print(line, flush=True)
        done.append(line + "\n")
    if file:
        file.write_text(before + BEGIN + "".join(done) + END + after)
