# SPDX-License-Identifier: Apache-2.0
"""The library's functions for stored matrices and files through ctypes, as the header declares them. LOWBIT_LIBRARY
names the shared library."""
import ctypes as c
import os

import numpy as np

lib = c.CDLL(os.environ["LOWBIT_LIBRARY"])
OK, INVALID_ARGUMENT, UNSUPPORTED, BAD_DATA = 0, 1, 2, 6
TYPES = {"s8": 1, "u8": 2, "f16": 10, "bf16": 11, "f32": 12}
CODES, SCALES, ZEROS, OFFSETS, SUPER, SUPER_OFFSETS, ORDER, TABLE, SCALE_TABLE, PARTS = range(10)


class Part(c.Structure):
    _fields_ = [("data", c.c_void_p), ("bytes", c.c_uint64), ("type", c.c_int32), ("reserved", c.c_int32)]


class Stored(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("bits", c.c_int32), ("format", c.c_char_p), ("n", c.c_int64),
                ("k", c.c_int64), ("group", c.c_int64), ("levels", c.c_int32), ("zero", c.c_int32),
                ("super", c.c_int32), ("divisor", c.c_int32), ("part", Part * PARTS)]


class Report(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("exact", c.c_int32), ("worst", c.c_double), ("rms", c.c_double),
                ("scale", c.c_double)]


class Tensor(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("rank", c.c_int32), ("name", c.c_char_p), ("type", c.c_char_p),
                ("format", c.c_char_p), ("data", c.c_void_p), ("shape", c.c_int64 * 4), ("offset", c.c_uint64),
                ("bytes", c.c_uint64)]


class Operand(c.Structure):
    _fields_ = [("type", c.c_int32), ("layout", c.c_int32), ("ld", c.c_int64), ("batch_stride", c.c_int64),
                ("scale", c.c_int32), ("scale_type", c.c_int32), ("group", c.c_int32), ("zero", c.c_int32)]


class Problem(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("flags", c.c_uint32), ("m", c.c_int64), ("n", c.c_int64),
                ("k", c.c_int64), ("batch", c.c_int64), ("a", Operand), ("b", Operand), ("d", Operand),
                ("residual", Operand), ("bias", c.c_int32), ("activation", c.c_int32), ("clamp", c.c_int32),
                ("clamp_min", c.c_float), ("clamp_max", c.c_float), ("rounding", c.c_int32), ("act_three", c.c_int32),
                ("act_shift", c.c_int32), ("b_table", c.c_int32), ("reserved", c.c_int32)]


class Ptr(c.Structure):
    _fields_ = [("base", c.c_void_p), ("offset", c.c_size_t)]


class Args(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("flags", c.c_uint32), ("m", c.c_int64), ("weights", c.c_void_p)] + [
        (name, Ptr) for name in ("a", "a_scale", "a_zero", "d", "d_scale", "d_zero", "bias", "residual",
                                 "residual_scale", "workspace")] + [
        ("workspace_bytes", c.c_size_t), ("residual_zero", Ptr), ("random", Ptr), ("d_sums", Ptr)]


lib.lb_last_error.restype = c.c_char_p
lib.lb_file_count.restype = c.c_size_t
lib.lb_stored_values.argtypes = [c.c_void_p, c.c_int64, c.c_int64, c.c_void_p]
lib.lb_repack.argtypes = [c.c_void_p, c.c_void_p, c.c_int, c.c_void_p]
lib.lb_stored_like.argtypes = [c.c_void_p, c.c_int, c.c_void_p]
lib.lb_stored_problem.argtypes = [c.c_void_p, c.c_int32, c.c_void_p]
lib.lb_weights_create_stored.argtypes = [c.c_void_p, c.c_void_p, c.c_int32, c.c_void_p]
lib.lb_plan_create.argtypes = [c.c_void_p, c.c_void_p, c.c_void_p, c.c_void_p]
lib.lb_run_host.argtypes = [c.c_void_p, c.c_void_p, c.c_void_p]
for name in ("lb_weights_destroy", "lb_plan_destroy", "lb_context_destroy", "lb_file_close", "lb_file_count"):
    getattr(lib, name).argtypes = [c.c_void_p]
lib.lb_file_get_tensor.argtypes = [c.c_void_p, c.c_size_t, c.c_void_p]
lib.lb_file_find.argtypes = [c.c_void_p, c.c_char_p, c.c_char_p, c.c_void_p]


class Error(Exception):
    def __init__(self, status):
        super().__init__(lib.lb_last_error().decode())
        self.status = status


def check(status):
    if status != OK:
        raise Error(status)


def made(struct):
    return struct(struct_size=c.sizeof(struct))


class Matrix:
    """An lb_stored and the arrays that it points to."""

    def __init__(self, stored, keep=()):
        self.stored, self.keep = stored, keep

    def values(self, first=0, count=None):
        count = self.stored.n - first if count is None else count
        out = np.empty((count, self.stored.k), np.float32)
        check(lib.lb_stored_values(c.byref(self.stored), first, count, out.ctypes.data))
        return out

    def part(self, part):
        return self.keep[part]

    def repack(self, format=None, like=None, lossy=False):
        """Into another format, or into the description of `like`. Returns it and the report."""
        to, report = made(Stored), made(Report)
        if like:
            c.memmove(c.byref(to), c.byref(like.stored), c.sizeof(to))
            to.format = like.stored.format
        else:
            to.format = format.encode()
            check(lib.lb_stored_like(c.byref(self.stored), lossy, c.byref(to)))
        arrays = [np.zeros(p.bytes, np.uint8) for p in to.part]
        for p, array in zip(to.part, arrays):
            p.data = array.ctypes.data if p.bytes else None
        check(lib.lb_repack(c.byref(self.stored), c.byref(to), lossy, c.byref(report)))
        return Matrix(to, arrays), report

    def multiply(self, context, a):
        """A W^T on the device: one run per term, each adding to the sum so far."""
        count, terms = c.c_int32(), self.stored
        check(lib.lb_stored_terms(c.byref(terms), c.byref(count)))
        d = np.zeros((len(a), terms.n), np.float32)
        for t in range(count.value):
            problem, args, plan, weights = made(Problem), made(Args), c.c_void_p(), c.c_void_p()
            problem.m = len(a)
            problem.a.type = problem.d.type = TYPES["f32"]
            problem.residual.type = TYPES["f32"] if t else 0
            check(lib.lb_stored_problem(c.byref(terms), t, c.byref(problem)))
            check(lib.lb_plan_create(context, c.byref(problem), None, c.byref(plan)))
            check(lib.lb_weights_create_stored(plan, c.byref(terms), t, c.byref(weights)))
            args.weights, args.a.base, args.d.base = weights, a.ctypes.data, d.ctypes.data
            args.residual.base = d.ctypes.data if t else None
            check(lib.lb_run_host(plan, c.byref(args), None))
            lib.lb_weights_destroy(weights)
            lib.lb_plan_destroy(plan)
        return d


def matrix(format, n, k, codes, *, bits=0, group=0, **parts):
    """A matrix over numpy arrays: codes, and SCALES=(array, "f16") or ZEROS=array."""
    stored, keep = made(Stored), {CODES: codes}
    stored.format, stored.n, stored.k, stored.bits, stored.group = format.encode(), n, k, bits, group
    for name, part in parts.items():
        index = globals()[name.upper()]
        array, kind = part if isinstance(part, tuple) else (part, None)
        stored.part[index].type = TYPES[kind] if kind else 0
        keep[index] = array
    for index, array in keep.items():
        keep[index] = array = np.ascontiguousarray(array)
        stored.part[index].data, stored.part[index].bytes = array.ctypes.data, array.nbytes
    return Matrix(stored, keep)


class File:
    def __init__(self, path):
        self.handle = c.c_void_p()
        check(lib.lb_file_open(str(path).encode(), c.byref(self.handle)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        lib.lb_file_close(self.handle)

    def tensors(self):
        for i in range(lib.lb_file_count(self.handle)):
            tensor = made(Tensor)
            check(lib.lb_file_get_tensor(self.handle, i, c.byref(tensor)))
            yield tensor

    def find(self, name, format=None):
        stored = made(Stored)
        check(lib.lb_file_find(self.handle, name.encode(), format.encode() if format else None, c.byref(stored)))
        return Matrix(stored, (self,))


def open_context():
    context = c.c_void_p()
    check(lib.lb_context_create(None, c.byref(context)))
    return context
