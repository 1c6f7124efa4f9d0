# SPDX-License-Identifier: Apache-2.0
"""Reads lowbit.h. The C header is the only declaration of the interface: what ctypes must know of it is taken
from its text, so that the two cannot drift apart. It is plain enough for that: typedef'd enums and structs,
integer macros, and prototypes that begin with LB_API. tests/test_header.py has the C compiler judge the result.
"""
import ctypes
import re

_SCALARS = {
    "char": ctypes.c_char,
    "int": ctypes.c_int,
    "float": ctypes.c_float,
    "double": ctypes.c_double,
    "size_t": ctypes.c_size_t,
    "int32_t": ctypes.c_int32,
    "uint32_t": ctypes.c_uint32,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
}


class Header:
    """constants: name -> int.  structs: name -> ctypes class.  functions: name -> (result, [arguments]) as ctypes,
    where a result of lb_status is the string "lb_status".  declared: the C text of both, for the test."""

    def __init__(self, text, base=None):
        self.constants, self.structs, self.functions = {}, {}, {}
        self.enums, self.prototypes = {}, {}
        self._types = dict(base._types if base else _SCALARS)
        text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
        text = text.replace("\\\n", " ")
        for name, value in re.findall(r"^#define (LB_\w+)\s+(\d+)u?\s*$", text, flags=re.M):
            self.constants[name] = int(value)
        text = re.sub(r"^\s*#.*$", "", text, flags=re.M)
        for match in re.finditer(
            r"typedef enum (?P<enum>\w+) \{(?P<values>[^}]*)\}"
            r"|typedef struct (?P<struct>\w+) \{(?P<fields>[^}]*)\}"
            r"|typedef (?P<pointer>\w+ \*)(?P<name>\w+);"
            r"|LB_API (?P<result>[\w ]+?[ *]+)(?P<function>\w+)\((?P<arguments>[^)]*)\);",
            text,
        ):
            if match["enum"]:
                self._enum(match["enum"], match["values"])
            elif match["struct"]:
                self._struct(match["struct"], match["fields"])
            elif match["pointer"]:
                self._types[match["name"]] = ctypes.c_void_p
            else:
                self._function(match["result"], match["function"], match["arguments"])

    def _enum(self, name, text):
        values = {}
        for word in filter(None, (part.strip() for part in text.split(","))):
            key, value = word.split("=")
            values[key.strip()] = int(value)
        self.enums[name] = values
        self.constants.update(values)
        self._types[name] = ctypes.c_int

    def _type(self, base, stars):
        if not stars:
            return self._types[base]
        return ctypes.c_char_p if base == "char" and stars == 1 else ctypes.c_void_p

    def _struct(self, name, text):
        fields = []
        text = re.sub(r"\bconst\b", " ", text)
        for declaration in filter(None, (part.strip() for part in text.split(";"))):
            base, rest = re.match(r"(\w+)(.*)", declaration, flags=re.S).groups()
            for stars, field, count in re.findall(r"([ *]*)\b([A-Za-z_]\w*)(?:\[(\w+)\])?", rest):
                kind = self._type(base, stars.count("*"))
                if count:
                    kind = kind * (int(count) if count.isdigit() else self.constants[count])
                fields.append((field, kind))
        self.structs[name] = type(name, (_Sized,), {"_fields_": fields})
        self._types[name] = self.structs[name]

    def _function(self, result, name, arguments):
        kinds = []
        for argument in arguments.split(","):
            base, rest = re.match(r"\s*(?:const )?(\w+)(.*)", argument, flags=re.S).groups()
            if (base, rest.strip()) != ("void", ""):
                # A pointer to char may be a text that the call writes; the caller's buffer is given for both.
                writes = base == "char" and "const" not in argument
                kinds.append(ctypes.c_void_p if writes else self._type(base, rest.count("*")))
        base = result.replace("const ", "").strip()
        if base == "lb_status":
            kind = base
        elif base == "void":
            kind = None
        else:
            kind = self._type(base.rstrip("* "), base.count("*"))
        self.functions[name] = (kind, kinds)
        self.prototypes[name] = (result.strip(), " ".join(arguments.split()))


class _Sized(ctypes.Structure):
    """A struct whose struct_size, if it has one, is set from the start: the *_INIT macros of C."""

    def __init__(self, **fields):
        super().__init__(**fields)
        if self._fields_[0][0] == "struct_size":
            self.struct_size = ctypes.sizeof(self)
