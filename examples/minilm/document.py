# SPDX-License-Identifier: Apache-2.0
"""Tables of Markdown, and where they go: to the terminal as they grow, and between the marks of a file."""
import argparse
import pathlib



def marks(which):
    return f"<!-- begin{which} -->\n", f"<!-- end{which} -->"


def row(*cells):
    return f"| {' | '.join(map(str, cells))} |"


def header(*names):
    return [row(*names), row(*["---"] * len(names))]


def main(description, lines, which=""):
    """The whole program: prints `lines` and, with --write FILE, puts them into it, between the marks called `which`."""
    options = argparse.ArgumentParser(description=description.splitlines()[0])
    options.add_argument("--write", type=pathlib.Path, metavar="FILE", help="put the tables between the marks of this file")
    file, done = options.parse_args().write, []
    begin, end = marks(which)
    for line in lines:
        print(line, flush=True)
        done.append(line + "\n")
    if file:
        before, rest = file.read_text().split(begin)
        file.write_text(before + begin + "".join(done) + end + rest.split(end)[1])
