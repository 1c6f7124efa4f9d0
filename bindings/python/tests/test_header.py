# SPDX-License-Identifier: Apache-2.0
"""What the package read from lowbit.h against what a C compiler says, and against what the library exports."""
import ctypes
import os
import pathlib
import re
import subprocess

import lowbit
from lowbit._library import header

ROOT = pathlib.Path(__file__).resolve().parents[3]
CC = os.environ.get("CC", "cc")
LIBRARY = pathlib.Path(lowbit.find("liblowbit.so")).resolve()


def compile_asserts(lines):
    """Compiles static asserts; version.h is generated, so its folder is the build's."""
    folders = [lowbit.include_dir, ROOT / "build/dev/include", ROOT / "build/release/include"]
    source = "#include <lowbit/lowbit.h>\n#include <stddef.h>\n" + "\n".join(lines)
    result = subprocess.run(
        [CC, "-std=gnu11", "-fsyntax-only", "-Werror", "-x", "c", "-", *(f"-I{folder}" for folder in folders)],
        input=source, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return len(lines)


def layout(c_name, kind):
    lines = [f'_Static_assert(sizeof({c_name}) == {ctypes.sizeof(kind)}, "size of {c_name}");']
    for field, _ in kind._fields_:
        at = getattr(kind, field)
        lines.append(f'_Static_assert(offsetof({c_name}, {field}) == {at.offset}, "{c_name}.{field}");')
        lines.append(f'_Static_assert(sizeof((({c_name} *)0)->{field}) == {at.size}, "{c_name}.{field}");')
    return lines


def test_structs():
    lines = [line for name, kind in header.structs.items() for line in layout(name, kind)]
    assert compile_asserts(lines) > 300


def test_constants():
    lines = [f'_Static_assert({name} == {value}, "{name}");' for name, value in header.constants.items()]
    assert compile_asserts(lines) > 50


def test_functions():
    """Each prototype was read whole, and its arguments have the sizes that ctypes passes."""
    lines = []
    for name, (_, kinds) in header.functions.items():
        result, arguments = header.prototypes[name]
        lines.append(f'_Static_assert(__builtin_types_compatible_p(__typeof__({name}), {result}({arguments})), "{name}");')
        if kinds:
            fields = [re.search(r"(\w+)(?:\[\])?$", argument)[1] for argument in arguments.split(",")]
            lines.append(f"typedef struct {{ {arguments.replace(',', ';')}; }} arguments_{name};")
            lines += layout(f"arguments_{name}", type(name, (ctypes.Structure,), {"_fields_": list(zip(fields, kinds))}))
    assert compile_asserts(lines) > 200


def test_every_export_is_declared():
    listed = (ROOT / "tests/abi/symbols.txt").read_text().split("\n")
    expected = {line for line in listed if line and not line.startswith("#")}
    assert set(header.functions) == expected
    assert all(hasattr(lowbit.c, name) for name in expected), f"{LIBRARY} is older than the header"
