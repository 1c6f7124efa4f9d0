# SPDX-License-Identifier: Apache-2.0
"""Problems, contexts, plans and weights over numpy arrays and whatever shares memory with them (DLPack)."""
import ctypes

import numpy as np

from ._array import NAMES, TYPES, array, bits, refuse, row_bytes
from ._library import C, c, struct

byref = ctypes.byref
# The arrays of shapes() that are packed, and what they are called in lb_weights_source.
WEIGHTS = {"b": "codes", "b_scale": "scales", "b_zero": "zeros", "b_table": "tables", "b_channel_scale": "channel_scales"}


def version():
    return c.lb_version_string().decode()


def _text(call):
    """What a function that writes (text, capacity, needed) writes."""
    needed = ctypes.c_size_t()
    try:
        call(None, 0, byref(needed))
    except ValueError:  # "did not fit", which is how the length is asked for
        if not needed.value:
            raise
    buffer = ctypes.create_string_buffer(needed.value)
    call(buffer, needed.value, byref(needed))
    return buffer.value.decode()


class Problem:
    """lb_problem. Problem("s8.token*s4.g128->f16 m16 n4096 k4096 +bias"); str() is the canonical line."""

    def __init__(self, line):
        self.struct = struct("lb_problem")
        if isinstance(line, Problem):
            self.struct = type(self.struct).from_buffer_copy(line.struct)
        else:
            c.lb_problem_parse(line.encode(), byref(self.struct))

    def __str__(self):
        return _text(lambda *buffer: c.lb_problem_print(byref(self.struct), *buffer))

    def __repr__(self):
        return f"lowbit.Problem({str(self)!r})"

    def __reduce__(self):
        return Problem, (str(self),)

    m, n, k = (property(lambda self, name=name: getattr(self.struct, name)) for name in "mnk")
    batch = property(lambda self: max(self.struct.batch, 1))
    exact = property(lambda self: bool(c.lb_problem_is_exact(byref(self.struct))))
    ops = property(lambda self: c.lb_problem_ops(byref(self.struct)))

    def with_m(self, m):
        other = Problem(self)
        other.struct.m = m
        return other

    @property
    def two_levels(self):
        """Whether B's scales are whole ones per group, and f32 per channel besides."""
        return self.struct.b.scale == C.LB_PER_GROUP and self.struct.b.scale_type == C.LB_TYPE_U8

    def type(self, operand):
        """Name of an operand's element type: type("a") is "s8"; None where it is absent."""
        return NAMES.get(getattr(self.struct, operand).type)

    def sizes(self):
        """Bytes that each of the caller's arrays must have."""
        sizes = struct("lb_sizes")
        c.lb_problem_sizes(byref(self.struct), byref(sizes))
        return {name: getattr(sizes, name) for name, _ in sizes._fields_[2:]}

    def shapes(self, m=None):
        """What each array looks like in numpy: name -> (dtype, shape). Absent ones are left out."""
        p, m = self.struct, self.m if m is None else m
        batch = () if self.batch == 1 else (self.batch,)
        groups = -(-self.k // p.b.group) if p.b.group else 1
        result = {}

        def matrix(name, operand, rows, columns):
            if operand.type:
                if operand.ld or operand.batch_stride:
                    refuse(f"{self}: row and batch strides cannot be given through numpy; make the arrays dense")
                kind = NAMES[operand.type]
                result[name] = (TYPES[kind][1], batch + (rows, row_bytes(kind, columns)
                                if TYPES[kind][1] == np.uint8 and kind != "u8" else columns))

        def vector(name, granularity, dtype, per_batch=True):
            shape = {C.LB_PER_TENSOR: (1,), C.LB_PER_TOKEN: (m,), C.LB_PER_CHANNEL: (self.n,),
                     C.LB_PER_GROUP: (self.n, groups)}.get(granularity)
            if shape:
                result[name] = (dtype, (batch if per_batch else ()) + shape)

        matrix("a", p.a, m, self.k)
        vector("a_scale", p.a.scale, np.float32)
        vector("a_zero", p.a.zero, np.int32)
        matrix("b", p.b, *((self.n, self.k) if p.b.layout == C.LB_LAYOUT_ROWS else (self.k, self.n)))
        vector("b_scale", p.b.scale, TYPES[NAMES.get(p.b.scale_type, "f32")][1])
        vector("b_zero", p.b.zero, np.int32)
        if p.b.type in (C.LB_TYPE_C4, C.LB_TYPE_C2):
            shape = {C.LB_PER_CHANNEL: (self.n,), C.LB_PER_GROUP: (self.n, groups)}.get(p.b_table, ())
            result["b_table"] = (np.float32, (*batch, *shape, 1 << bits(NAMES[p.b.type])))
        if self.two_levels:
            vector("b_channel_scale", C.LB_PER_CHANNEL, np.float32)
        matrix("d", p.d, m, self.n)
        for name, operand in (("d", p.d), ("residual", p.residual)):
            vector(name + "_scale", operand.scale, np.float32, per_batch=False)
            vector(name + "_zero", operand.zero, np.int32, per_batch=False)
            if name + "_scale" in result and p.rounding not in (C.LB_ROUND_EVEN, C.LB_ROUND_STOCHASTIC):
                shape = result[name + "_scale"][1]
                result[name + "_scale"] = (np.int32, shape + (2,))  # lb_multiplier
        if p.bias:
            result["bias"] = (TYPES[NAMES[p.bias]][1], batch + (self.n,))
        matrix("residual", p.residual, m, self.n)
        if p.rounding == C.LB_ROUND_STOCHASTIC:
            result["random"] = (np.uint64, (2,))
        return result


def devices():
    """Every device as a dict of lb_device_info, best first."""
    count = ctypes.c_size_t()
    kind = type(struct("lb_device_info"))
    infos = (kind * 64)()
    infos[0].struct_size = ctypes.sizeof(kind)
    c.lb_devices(infos, len(infos), byref(count))
    return [_dict(info) for info in infos[: count.value]]


def _dict(info):
    values = {name: getattr(info, name) for name, _ in info._fields_ if name not in ("struct_size", "reserved")}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}


class _Handle:
    """An object of the library. It is destroyed when neither it nor anything made from it is used any more; counted
    here, because Python finalises the members of a cycle (an exception's traceback makes one) in any order."""

    _destroy = None

    def __init__(self, *parents):
        self._as_parameter_ = ctypes.c_void_p()
        self._parents, self._uses = parents, 1
        for parent in parents:
            parent._uses += 1

    def _out(self):
        return byref(self._as_parameter_)

    def _release(self, c=c):
        self._uses -= 1
        if self._uses == 0:
            if self._as_parameter_:
                getattr(c, self._destroy)(self._as_parameter_)
            for parent in self._parents:
                parent._release()

    def __del__(self):
        if hasattr(self, "_uses"):
            self._release()


class Context(_Handle):
    """A device, opened: Context("auto"), "ref", "opencl:0", "cuda" ..."""

    _destroy = "lb_context_destroy"

    def __init__(self, device="auto"):
        super().__init__()
        desc = struct("lb_context_desc", device=device.encode())
        c.lb_context_create(byref(desc), self._out())

    @property
    def info(self):
        info = struct("lb_device_info")
        c.lb_context_info(self, byref(info))
        return _dict(info)

    def plan(self, problem, kernel=None, layout=None, flags=0, workspace_limit=0):
        return Plan(self, problem, kernel, layout, flags, workspace_limit)

    def explain(self, problem):
        problem = Problem(problem)
        return _text(lambda *buffer: c.lb_explain(self, byref(problem.struct), None, *buffer))


class Plan(_Handle):
    """A kernel chosen for a problem (a Problem or its line) and built."""

    _destroy = "lb_plan_destroy"

    def __init__(self, context, problem, kernel=None, layout=None, flags=0, workspace_limit=0):
        super().__init__(context)
        self.problem = Problem(problem)
        desc = struct("lb_plan_desc", flags=flags, kernel=kernel and kernel.encode(), layout=layout and layout.encode(),
                      workspace_limit=workspace_limit)
        c.lb_plan_create(context, byref(self.problem.struct), byref(desc), self._out())
        self._shapes = self.problem.shapes()

    @property
    def info(self):
        info = struct("lb_plan_info")
        c.lb_plan_get_info(self, byref(info))
        return _dict(info)

    def weights(self, codes, scales=None, zeros=None, tables=None, *, channel_scales=None):
        """Packs canonical weights: codes as pack() makes them, [N][bytes of K]; tables for c4 and c2; channel_scales
        where those per group are u8."""
        return Weights(self, codes, scales, zeros, tables, channel_scales=channel_scales)

    def run(self, weights, a, *, out=None, m=None, **arrays):
        """D, in `out` if given. The other arrays by their names in lb_args: a_scale, bias, residual ... Synchronous."""
        shapes = self._shapes if m is None else self.problem.shapes(m)
        args = struct("lb_args", m=m or 0)
        args.weights = weights._as_parameter_
        if out is None:
            out = np.empty(shapes["d"][1], shapes["d"][0])
        elif not isinstance(out, np.ndarray) or not out.flags.writeable:
            refuse("out must be a writable numpy array")
        arrays.update(a=a, d=out)
        if m == 0:
            return out
        keep = []
        for name, (dtype, shape) in shapes.items():
            if name in WEIGHTS:
                continue
            if arrays.get(name) is None:
                refuse(f"{name} is missing; the problem '{self.problem}' wants {np.dtype(dtype)} of shape {list(shape)}")
            value = array(name, arrays.pop(name), dtype, shape)
            keep.append(value)
            getattr(args, name).base = value.ctypes.data
        unused = [name for name, value in arrays.items() if value is not None]
        if unused:
            refuse(f"{unused[0]} is not part of the problem '{self.problem}'; it takes {', '.join(shapes)}")
        c.lb_run_host(self, byref(args), None)
        return out


class Weights(_Handle):
    """Weights packed for a plan's kernel. Plans for other m can share them if made with layout=weights.layout."""

    _destroy = "lb_weights_destroy"

    def __init__(self, plan, codes, scales=None, zeros=None, tables=None, *, channel_scales=None):
        super().__init__(plan)
        source = struct("lb_weights_source")
        keep = []
        for (name, field), value in zip(WEIGHTS.items(), (codes, scales, zeros, tables, channel_scales)):
            if name in plan._shapes:
                if value is None:
                    refuse(f"{field} is missing; the problem '{plan.problem}' has it")
                keep.append(array(field, value, *plan._shapes[name]))
                setattr(source, field, keep[-1].ctypes.data)
            elif value is not None:
                refuse(f"{field} is not part of the problem '{plan.problem}'")
        c.lb_weights_create(plan, byref(source), self._out())

    @property
    def layout(self):
        return c.lb_weights_layout(self).decode()
