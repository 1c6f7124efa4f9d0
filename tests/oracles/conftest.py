# SPDX-License-Identifier: Apache-2.0
"""Counts of compared cases, printed at the end of the run."""
import pytest

_tallies = {}


@pytest.fixture
def tally(request):
    """tally(what, count=1, note=None): adds to a line of the summary."""

    def add(what, count=1, note=None):
        entry = _tallies.setdefault(what, [0, None])
        entry[0] += count
        entry[1] = note or entry[1]

    return add


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section("oracles")
    for what, (count, note) in _tallies.items():
        terminalreporter.write_line(f"{count:8d}  {what}" + (f"; {note}" if note else ""))
