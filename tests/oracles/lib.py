# SPDX-License-Identifier: Apache-2.0
"""As much of the C interface as the oracle tests need, by ctypes over $LOWBIT_LIBRARY."""
import ctypes as c
import os

import numpy as np

lib = c.CDLL(os.environ["LOWBIT_LIBRARY"])
lib.lb_last_error.restype = c.c_char_p


class Ptr(c.Structure):
    _fields_ = [("base", c.c_void_p), ("offset", c.c_size_t)]


class Args(c.Structure):
    _fields_ = (
        [("struct_size", c.c_uint32), ("flags", c.c_uint32), ("m", c.c_int64), ("weights", c.c_void_p)]
        + [(n, Ptr) for n in "a a_scale a_zero d d_scale d_zero bias residual residual_scale workspace".split()]
        + [("workspace_bytes", c.c_size_t), ("residual_zero", Ptr), ("random", Ptr), ("d_sums", Ptr)]
    )


class Source(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("reserved", c.c_uint32)] + [
        (n, c.c_void_p) for n in "codes scales zeros tables channel_scales".split()
    ]


class Part(c.Structure):
    _fields_ = [("data", c.c_void_p), ("bytes", c.c_uint64), ("type", c.c_int32), ("reserved", c.c_int32)]


class Stored(c.Structure):
    _fields_ = [
        ("struct_size", c.c_uint32), ("bits", c.c_int32), ("format", c.c_char_p),
        ("n", c.c_int64), ("k", c.c_int64), ("group", c.c_int64),
        ("levels", c.c_int32), ("zero", c.c_int32), ("super", c.c_int32), ("divisor", c.c_int32),
        ("part", Part * 9),
    ]


class ContextDesc(c.Structure):
    _fields_ = [
        ("struct_size", c.c_uint32), ("flags", c.c_uint32), ("device", c.c_char_p),
        ("native_context", c.c_void_p), ("native_device", c.c_void_p), ("cache_dir", c.c_char_p),
        ("tuning", c.c_char_p), ("host_threads", c.c_int32),
    ]


class Refused(Exception):
    pass


def check(status):
    if status:
        raise Refused(lib.lb_last_error().decode())


def address(array):
    return array.ctypes.data_as(c.c_void_p)


def dense(array, dtype=None):
    return np.ascontiguousarray(array, dtype=dtype)


def open_devices():
    """The reference, and the best device where there is another."""
    found = {}
    for name in ("ref", "auto"):
        context = c.c_void_p()
        desc = ContextDesc(c.sizeof(ContextDesc), 0, name.encode())
        check(lib.lb_context_create(c.byref(desc), c.byref(context)))
        found[name] = context
    return found


devices = open_devices()



class Problem:
    """A problem line; `stored` weights set n, k and the rest of its B."""

    def __init__(self, line, stored=None, term=0):
        self.raw = c.create_string_buffer(1024)  # an lb_problem, which this module need not look into
        self.line = line
        check(lib.lb_problem_parse(line.encode(), self.raw))
        if stored is not None:
            check(lib.lb_stored_problem(c.byref(stored), term, self.raw))


def run(device, problem, d, weights, **arrays):
    """D = A B by lb_run_host. `weights` is a function (plan, handle) -> status."""
    plan, handle = c.c_void_p(), c.c_void_p()
    args = Args(struct_size=c.sizeof(Args))
    kept = {name: dense(a) for name, a in arrays.items() if a is not None}
    for name, array in kept.items():
        setattr(args, name, Ptr(array.ctypes.data, 0))
    args.d = Ptr(d.ctypes.data, 0)
    check(lib.lb_plan_create(devices[device], problem.raw, None, c.byref(plan)))
    try:
        check(weights(plan, c.byref(handle)))
        args.weights = handle
        check(lib.lb_run_host(plan, c.byref(args), None))
    finally:
        lib.lb_weights_destroy(handle)
        lib.lb_plan_destroy(plan)
    return d


def canonical(codes, scales=None, zeros=None, tables=None, channel_scales=None):
    """Weights as the problem describes them."""
    kept = [None if a is None else dense(a) for a in (codes, scales, zeros, tables, channel_scales)]

    def create(plan, handle):
        source = Source(c.sizeof(Source), 0, *(None if a is None else address(a) for a in kept))
        return lib.lb_weights_create(plan, c.byref(source), handle)

    return create


def stored_weights(stored, term=0):
    return lambda plan, handle: lib.lb_weights_create_stored(plan, c.byref(stored), term, handle)
