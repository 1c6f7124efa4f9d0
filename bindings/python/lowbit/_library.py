# SPDX-License-Identifier: Apache-2.0
"""Finds and loads the C library. `c` has its functions, `C` its constants, `struct` makes its structs:

    problem = struct("lb_problem")
    c.lb_problem_parse(b"s8*s8->s32 m4 n4 k64", ctypes.byref(problem))      # raises lowbit.Error

A function that returns lb_status raises unless that is LB_OK. Calls release the GIL.
"""
import ctypes
import os
import pathlib
import types

from ._header import Header

_HERE = pathlib.Path(__file__).resolve().parent


class Error(RuntimeError):
    """What the library refused or failed at. str() is its sentence, status the lb_status."""

    status = 0


class InvalidArgument(Error, ValueError):
    pass


class Unsupported(Error, NotImplementedError):
    pass


class OutOfMemory(Error, MemoryError):
    pass


def _places():
    """Where libraries lie: in a folder the environment names, inside the package, or built in the source tree."""
    folder = os.environ.get("LOWBIT_LIBRARY_DIR")
    if folder:
        return [pathlib.Path(folder), pathlib.Path(folder) / "bindings"]
    builds = [_HERE.parents[2] / "build" / preset for preset in ("release", "dev")]
    return [_HERE / "lib", *(place for build in builds for place in (build, build / "bindings"))]


def find(name):
    """The path of one of the package's libraries; OSError names the places that were looked at."""
    for place in _places():
        for path in [place / name, *place.glob(name + ".*")]:
            if path.exists():
                return str(path)
    raise OSError(f"{name} is in none of: {', '.join(map(str, _places()))}; set LOWBIT_LIBRARY_DIR to its folder")


def _read_headers():
    for folder in (_HERE / "include", _HERE.parents[2] / "include"):
        if (folder / "lowbit" / "lowbit.h").exists():
            return folder, (folder / "lowbit" / "lowbit.h").read_text()
    raise OSError(f"lowbit/lowbit.h is neither in {_HERE / 'include'} nor in a source tree around it")


include_dir, _text = _read_headers()
header = Header(_text)
C = types.SimpleNamespace(**header.constants)
_handle = ctypes.CDLL(find("liblowbit.so"))
_ERRORS = {C.LB_INVALID_ARGUMENT: InvalidArgument, C.LB_UNSUPPORTED: Unsupported, C.LB_OUT_OF_MEMORY: OutOfMemory}


def error(status, text=None):
    """The exception for a status; its sentence is the thread's last one unless given."""
    result = _ERRORS.get(status, Error)(text if text is not None else c.lb_last_error().decode())
    result.status = status
    return result


def declare(handle, functions, failure=error):
    """The functions of a library as a namespace, ready to call; failure(status) makes the exception. A function that
    the shared object lacks is left out."""
    found = {}

    def check(status, function, arguments):
        if status:
            raise failure(status)
        return status

    for name, (result, arguments) in functions.items():
        function = getattr(handle, name, None)
        if function is None:
            continue
        function.argtypes = arguments
        if result == "lb_status":
            function.restype, function.errcheck = ctypes.c_int, check
        else:
            function.restype = result
        found[name] = function
    return types.SimpleNamespace(**found)


c = declare(_handle, header.functions)


def struct(name, **fields):
    """A struct of the interface, zeroed, with struct_size and the given fields set."""
    return header.structs[name](**fields)
