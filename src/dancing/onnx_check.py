"""Check an ONNX file before ONNX Runtime opens it, for bundles come from strangers.

Only what the families export passes: plain operators, no subgraphs, no functions, no data in other
files, nothing that takes much memory while it is loaded, and the inputs and outputs that the
family's card promises.

The file is read as protobuf's wire format (https://protobuf.dev/programming-guides/encoding) with
the field numbers of ONNX (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), as the package
`onnx` is there for training only.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

OPERATORS = frozenset(
    "Add AveragePool Cast Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos DepthToSpace "
    "DequantizeLinear Div Equal Erf Exp Expand Flatten Floor Gather Gelu Gemm Identity LSTM "
    "LayerNormalization MatMul Max Min Mod Mul Pow QuantizeLinear Range ReduceL2 ReduceMax "
    "ReduceMean ReduceMin ReduceSum Relu Reshape Resize Shape Sigmoid Sin Slice Softmax Split "
    "Sqrt Squeeze Sub Tanh Transpose Unsqueeze Where".split()
)
"""What the families' exports use, at any opset from 17 on, and what quantisation adds."""
# Their result holds no more numbers than all that goes in.
_MOVERS = frozenset(
    "Cast Concat DequantizeLinear Flatten Identity QuantizeLinear Reshape Slice Split Squeeze "
    "Transpose Unsqueeze".split()
)
# The size of their result is that of no input.
_MAKERS = frozenset(("ConstantOfShape", "Expand", "Range", "Resize"))
MAX_FIELDS = 1_000_000
MAX_OPERATORS = 20_000
MAX_NUMBERS = 2**28
"""In the model, and computed by ONNX Runtime when it loads it."""
_MAX_COMPUTED = 2**22  # of these by one operator
_UNKNOWN = 2**24  # what a tensor of unknown size counts for
_MAX_RANK = 8
_MAX_KERNEL = 64  # pixels; one operator is not interrupted, so that its work must have a bound

# Fields of messages: an int, a float, or bytes (which are text or a message); capitals may repeat.
_MODEL = {1: "i", 2: "b", 3: "b", 4: "b", 5: "i", 6: "b", 7: "b", 8: "B", 14: "B"}
_GRAPH = {1: "B", 2: "b", 5: "B", 10: "b", 11: "B", 12: "B", 13: "B"}
_NODE = {1: "B", 2: "B", 3: "b", 4: "b", 5: "B", 6: "b", 7: "b"}
_ATTRIBUTE = {1: "b", 2: "f", 3: "i", 4: "b", 5: "b", 7: "F", 8: "I", 9: "B", 13: "b", 20: "i"}
_TENSOR = {1: "I", 2: "i", 4: "F", 5: "I", 7: "I", 8: "b", 9: "b", 10: "F", 11: "I", 12: "b"}
_ELSEWHERE = {13: "B", 14: "i"}  # the parts of a tensor that say where its data are
_VALUE = {1: "b", 2: "b", 3: "b"}
_TYPE = {1: "b", 6: "b"}
_TENSOR_TYPE = {1: "i", 2: "b"}
_SHAPE = {1: "B"}
_SIDE = {1: "i", 2: "b", 3: "b"}
# How protobuf may write them: 0 is a varint, 1 has eight bytes, 5 four, 2 says how many.
_WIRES = {"i": (0,), "f": (5,), "b": (2,), "I": (0, 2), "F": (1, 2, 5), "B": (2,)}
_KINDS = {1: "float32", 2: "uint8", 7: "int64"}

_Fields = dict[int, list[int | memoryview]]


@dataclass(frozen=True)
class Tensor:
    """What goes into a model, or comes out of it.

    Attributes:
        kind: of its numbers, as NumPy has it: 'float32', 'uint8' or 'int64'.
        shape: the length of each side, or a name where it varies from run to run.
    """

    kind: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.kind} ({', '.join(map(str, self.shape))})"

    def sides(self, lengths: Sequence[int]) -> dict[str, int]:
        """The lengths of the sides that vary, by name, where all have these lengths."""
        pairs = zip(self.shape, lengths, strict=True)
        return {side: length for side, length in pairs if isinstance(side, str)}

    def sized(self, sides: Mapping[str, int]) -> tuple[int, ...]:
        """The shape where the sides that vary have these lengths."""
        return tuple(sides[side] if isinstance(side, str) else side for side in self.shape)


def check(content: bytes, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> None:
    """Refuse an ONNX file that no family of ours can have exported.

    Args:
        inputs, outputs: that it must have, by name.

    Raises:
        ValueError: with what is wrong.
    """
    _Check().model(memoryview(content), inputs, outputs)


class _Check:
    """One way through a file; all methods raise ValueError."""

    def __init__(self) -> None:
        self._fields_left = MAX_FIELDS
        self._numbers_left = MAX_NUMBERS
        # How many numbers at most are in each tensor that may be computed while loading.
        self._known: dict[str, int] = {}
        # Of each result of Shape, how many are in what it is the shape of.
        self._shaped: dict[str, int] = {}

    def model(
        self, content: memoryview, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]
    ) -> None:
        graph = self._inner(self._fields(content, _MODEL), 7, _GRAPH)
        self._values("takes", graph[11], inputs)
        self._values("returns", graph[12], outputs)
        if len(graph[1]) > MAX_OPERATORS:
            raise ValueError(f"has more than {MAX_OPERATORS:,} operators")
        for entry in graph[5]:
            name, size = self._tensor(entry)
            self._known[name] = size
        there = {*self._known, *inputs}
        for entry in graph[1]:
            self._node(self._fields(entry, _NODE), there)

    def _node(self, node: _Fields, there: set[str]) -> None:
        """Check an operator, and add its outputs to the tensors that are there."""
        operator, domain = _text(node[4]), _text(node[7])
        if operator not in OPERATORS or domain not in ("", "ai.onnx"):
            raise ValueError(f"has an operator that no model of ours has: {domain} {operator}")
        held = sum(self._attribute(entry) for entry in node[5])
        taken = [name for each in node[1] if (name := _text([each]))]
        made = [name for each in node[2] if (name := _text([each]))]
        if not there.issuperset(taken) or not there.isdisjoint(made):
            raise ValueError(f"has operators out of order ({operator})")
        there.update(made)
        sizes = [self._known[name] for name in taken if name in self._known]
        if operator == "Shape":
            size = _MAX_RANK
            self._shaped.update((name, sizes[0]) for name in made if sizes)
        elif operator == "Constant":
            size = held
        elif len(sizes) < len(taken):
            return  # is computed when the model runs, which has limits of its own
        elif operator == "ConstantOfShape":  # states of LSTMs
            size = self._shaped.get("".join(taken), _UNKNOWN)
        elif operator in _MOVERS:
            size = sum(sizes)
        else:
            size = math.prod(sizes)
            if operator in _MAKERS or size > _MAX_COMPUTED:
                raise ValueError(f"makes large tensors while it is loaded ({operator})")
        self._known.update(dict.fromkeys(made, size))
        self._count(size * len(made))

    def _attribute(self, content: int | memoryview) -> int:
        """Check an attribute; returns how many numbers at most are in it."""
        attribute = self._fields(content, _ATTRIBUTE)
        sides = _ints(attribute[8]) if _text(attribute[1]) == "kernel_shape" else []
        if any(side > _MAX_KERNEL for side in sides):
            raise ValueError(f"has a kernel of more than {_MAX_KERNEL} pixels")
        if attribute[5]:
            return self._tensor(attribute[5][0])[1]
        return len(_bytes(content))

    def _tensor(self, content: int | memoryview) -> tuple[str, int]:
        """Name and size of a tensor; all of its numbers must be in the file."""
        tensor = self._fields(content, _TENSOR | _ELSEWHERE)
        if tensor[13] or any(_ints(tensor[14])):
            raise ValueError("has data in another file")
        size = math.prod(_ints(tensor[1]))
        if size > len(_bytes(content)):
            raise ValueError("has a tensor that is larger than its content")
        self._count(size)
        return _text(tensor[8]), size

    def _count(self, numbers: int) -> None:
        self._numbers_left -= numbers
        if self._numbers_left < 0:
            raise ValueError(f"has more than {MAX_NUMBERS:,} numbers")

    def _values(
        self,
        verb: str,
        entries: Sequence[int | memoryview],
        wanted: Mapping[str, Tensor],
    ) -> None:
        """Compare names, kinds of numbers and shapes of inputs or outputs."""
        found: dict[str, Tensor] = {}
        for entry in entries:
            value = self._fields(entry, _VALUE)
            kind = self._inner(self._inner(value, 2, _TYPE), 1, _TENSOR_TYPE)
            sides = [self._fields(each, _SIDE) for each in self._inner(kind, 2, _SHAPE)[1]]
            shape = tuple(_ints(side[1])[0] if side[1] else "any" for side in sides)
            found[_text(value[1])] = Tensor(_KINDS.get(sum(_ints(kind[1])), "other"), shape)
        if found.keys() != wanted.keys():
            names = [", ".join(sorted(each)) or "nothing" for each in (found, wanted)]
            raise ValueError(f"{verb} {names[0]}, not {names[1]}")
        for name, tensor in wanted.items():
            other = found[name]
            if (
                other.kind != tensor.kind
                or len(other.shape) != len(tensor.shape)
                or any(
                    isinstance(one, int) and isinstance(two, int) and one != two
                    for one, two in zip(other.shape, tensor.shape, strict=True)
                )
            ):
                raise ValueError(f"{verb} {name} as {other}, not {tensor}")

    def _inner(self, fields: _Fields, number: int, known: Mapping[int, str]) -> _Fields:
        """The fields of a message within another; none where it is not there."""
        return self._fields(fields[number][0] if fields[number] else memoryview(b""), known)

    def _fields(self, content: int | memoryview, known: Mapping[int, str]) -> _Fields:
        """The fields of a message, by number."""
        content = _bytes(content)
        found: _Fields = defaultdict(list)
        at = 0
        while at < len(content):
            self._fields_left -= 1
            if not self._fields_left:
                raise ValueError(f"has more than {MAX_FIELDS:,} fields")
            key, at = _varint(content, at)
            number, wire = key >> 3, key & 7
            kind = known.get(number, "")
            if wire not in _WIRES.get(kind, ()):
                raise ValueError("is damaged, or has parts that no model of ours has")
            if kind.islower() and found[number]:
                raise ValueError("says the same twice")
            if wire == 0:
                value, at = _varint(content, at)
                found[number].append(value)
                continue
            size, at = _varint(content, at) if wire == 2 else (8 if wire == 1 else 4, at)
            if at + size > len(content):
                raise ValueError("is cut off")
            found[number].append(content[at : at + size])
            at += size
        return found


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    """A number of variable length, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at == len(content):
            break
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("is cut off")


def _ints(values: Sequence[int | memoryview]) -> list[int]:
    """The numbers of a field that may be packed."""
    found = []
    for value in values:
        if isinstance(value, int):
            found.append(value)
            continue
        at = 0
        while at < len(value):
            number, at = _varint(value, at)
            found.append(number)
    return found


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("is damaged")
    return value


def _text(values: Sequence[int | memoryview]) -> str:
    """The text of a field that is there once or not at all."""
    return bytes(_bytes(values[0])).decode() if values else ""
