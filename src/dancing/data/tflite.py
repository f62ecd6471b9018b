"""TFLite networks as ONNX models, as far as those of the pose landmarker need it.

A .tflite file is a FlatBuffer (https://flatbuffers.dev/internals/): tables whose fields are
numbered by the schema, here that of TensorFlow Lite
(https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs).
Its pictures are (N, H, W, C); those of the ONNX model are (N, C, H, W).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Opset and IR version that the oldest ONNX Runtime of this package's range reads.
_OPSET, _IR_VERSION = 17, 8
_MOST_NUMBERS = 1 << 26  # in a tensor
_TYPES: dict[int, np.dtype[Any]] = {
    0: np.dtype(np.float32),
    1: np.dtype(np.float16),
    2: np.dtype(np.int32),
}
_INDEX_TYPES = {1: np.int32, 2: np.uint16, 3: np.uint8}
_NONE, _RELU, _RELU6 = 0, 1, 3
_SAME = 0


def to_onnx(content: bytes) -> bytes:
    """The ONNX model of a .tflite file's content.

    Raises:
        ValueError: when it is no TFLite network, or has an operator that is not known here.
    """
    try:
        return _Network(content).converted()
    except (struct.error, IndexError, KeyError, TypeError, OverflowError) as error:
        raise ValueError("it is damaged or no TFLite network") from error


class _Table:
    """A table of a FlatBuffer. Fields are asked for by their numbers in the schema."""

    def __init__(self, content: bytes, place: int) -> None:
        self._content = content
        self._place = place
        self._fields = place - self._read("i", place)
        self._size = self._read("H", self._fields)

    @classmethod
    def root(cls, content: bytes) -> _Table:
        return cls(content, struct.unpack_from("<I", content)[0])

    def number(self, field: int, kind: str = "i", default: int = 0) -> int:
        """A number, whose kind is named as in `struct`."""
        place = self._find(field)
        return default if place is None else self._read(kind, place)

    def table(self, field: int) -> _Table:
        place = self._find(field)
        if place is None:
            raise KeyError(field)
        return _Table(self._content, self._follow(place))

    def tables(self, field: int) -> list[_Table]:
        places = self._vector(field)
        if places is None:
            return []
        start, count = places
        return [
            _Table(self._content, self._follow(place))
            for place in range(start, start + 4 * count, 4)
        ]

    def array(self, field: int, kind: Any) -> NDArray[Any]:
        """A vector of numbers, empty where there is none."""
        places = self._vector(field)
        if places is None:
            return np.zeros(0, kind)
        start, count = places
        try:
            return np.frombuffer(self._content, kind, count, start)
        except ValueError as error:
            raise IndexError(field) from error

    def has(self, field: int) -> bool:
        return self._find(field) is not None

    def _find(self, field: int) -> int | None:
        entry = 4 + 2 * field
        if entry >= self._size:
            return None
        offset = self._read("H", self._fields + entry)
        return self._place + offset if offset else None

    def _vector(self, field: int) -> tuple[int, int] | None:
        place = self._find(field)
        if place is None:
            return None
        start = self._follow(place)
        count = self._read("I", start)
        if count > len(self._content):
            raise IndexError(field)
        return start + 4, count

    def _follow(self, place: int) -> int:
        return place + self._read("I", place)

    def _read(self, kind: str, place: int) -> int:
        if place < 0:
            raise IndexError(place)
        return int(struct.unpack_from(f"<{kind}", self._content, place)[0])


class _Network:
    """The first graph of a .tflite file, turned into ONNX operator by operator."""

    def __init__(self, content: bytes) -> None:
        model = _Table.root(content)
        # Operators up to 127 have their code in the first field, later ones in the fourth.
        self._codes = [max(code.number(0, "b"), code.number(3)) for code in model.tables(1)]
        graph = model.tables(2)[0]
        buffers = model.tables(4)
        self._shapes: list[tuple[int, ...]] = []
        self._constants: dict[int, NDArray[Any]] = {}
        for index, tensor in enumerate(graph.tables(0)):
            shape = tuple(tensor.array(0, np.int32).tolist())
            if any(n < 1 for n in shape) or np.prod(shape, dtype=np.float64) > _MOST_NUMBERS:
                raise ValueError(f"a tensor of {shape} is not known here")
            self._shapes.append(shape)
            data = buffers[tensor.number(2, "I")].array(0, np.uint8).tobytes()
            if data:
                self._constants[index] = _constant(tensor, shape, data)
        self._inputs, self._outputs = graph.array(1, np.int32), graph.array(2, np.int32)
        self._operators = graph.tables(3)
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def converted(self) -> bytes:
        from onnx import TensorProto, helper

        for operator in self._operators:
            self._convert(operator)
        inputs, outputs = (
            [
                helper.make_tensor_value_info(
                    _name(tensor), TensorProto.FLOAT, _channels_first(self._shapes[tensor])
                )
                for tensor in tensors.tolist()
            ]
            for tensors in (self._inputs, self._outputs)
        )
        graph = helper.make_graph(self._nodes, "network", inputs, outputs, self._weights)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
        )
        return bytes(model.SerializeToString())

    def _convert(self, operator: _Table) -> None:
        code = self._codes[operator.number(0, "I")]
        sources = operator.array(1, np.int32).tolist()
        (target,) = operator.array(2, np.int32).tolist()
        match code:
            case 0:
                self._add(sources, target, operator.table(4).number(0, "b"))
            case 2:
                options = operator.table(4)
                _check(options.number(1, "b") == _NONE, "an activation after CONCATENATION")
                axis = _channels_first((0, 1, 2, 3)).index(options.number(0))
                _check(len(self._shapes[target]) != 4 or axis == 0, "CONCATENATION of pictures")
                self._emit("Concat", sources, target, axis=options.number(0))
            case 3 | 4:
                self._convolution(sources, target, operator.table(4), depthwise=code == 4)
            case 5:
                size = operator.table(4).number(0)
                self._emit("DepthToSpace", sources, target, blocksize=size)
            case 6:  # DEQUANTIZE
                _check(self._constants[sources[0]].dtype == np.float16, "quantized weights")
                self._constants[target] = self._constants[sources[0]].astype(np.float32)
            case 14:
                self._emit("Sigmoid", sources, target)
            case 17:
                self._pooling(sources, target, operator.table(4))
            case 22:
                self._reshape(sources[0], target)
            case 23:
                self._resize(sources[0], target, operator.table(4))
            case 34:
                margins = self._constants[sources[1]][list(_channels_first((0, 1, 2, 3)))]
                extra = self._weight(margins.T.ravel().astype(np.int64))
                self._emit("Pad", sources[:1], target, extra)
            case 124:  # DENSIFY: a sparse constant was unfolded when it was read.
                self._constants[target] = self._constants[sources[0]]
            case _:
                raise ValueError(f"its TFLite operator {code} is not known here")

    def _convolution(
        self, sources: Sequence[int], target: int, options: _Table, depthwise: bool
    ) -> None:
        kernel, bias = (self._constants[source] for source in sources[1:])
        # (out, H, W, in), or where each channel is filtered for itself (1, H, W, channels)
        kernel = kernel.transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
        more = 1 if depthwise else 0
        dilations = [options.number(4 + more, default=1), options.number(5 + more, default=1)]
        _check(dilations == [1, 1], "a dilated convolution")
        stride = [options.number(2), options.number(1)]
        pads = [0, 0, 0, 0]
        if options.number(0, "b") == _SAME:
            sizes = zip(
                self._shapes[sources[0]][1:3],
                self._shapes[target][1:3],
                stride,
                kernel.shape[2:],
                strict=True,
            )
            wanted = [max((new - 1) * step + size - old, 0) for old, new, step, size in sizes]
            pads = [n // 2 for n in wanted] + [n - n // 2 for n in wanted]
        shape = {"strides": stride, "pads": pads, "kernel_shape": list(kernel.shape[2:])}
        activation = options.number(3 + more, "b")
        source = self._value(sources[0])
        groups = self._shapes[sources[0]][3] if depthwise else 1
        if len(kernel) == 1 and not depthwise:
            # ONNX Runtime computes eight channels even where one is wanted. Filtering each
            # channel for itself and adding them up afterwards is the same in a third of the time.
            groups = self._shapes[sources[0]][3]
            self._node("Conv", [source, self._weight(kernel[0, :, None])], f"each{target}",
                       group=groups, **shape)  # fmt: skip
            source, kernel, groups = f"each{target}", np.ones((1, groups, 1, 1), np.float32), 1
            shape = {"kernel_shape": [1, 1]}
        inputs = [source, self._weight(kernel), self._weight(bias)]
        self._node("Conv", inputs, self._before(target, activation), group=groups, **shape)
        self._activate(target, activation)

    def _add(self, sources: Sequence[int], target: int, activation: int) -> None:
        shapes = {self._shapes[index] for index in (*sources, target)}
        _check(len(shapes) == 1, "ADD of unlike shapes")
        inputs = [self._value(source) for source in sources]
        if activation == _RELU6 and len(self._shapes[target]) == 4:
            # ONNX Runtime's fast layout of pictures knows ReLU6 only as part of a convolution:
            # one that changes nothing spares two changes of the layout.
            channels = self._shapes[target][3]
            same = self._weight(np.ones((channels, 1, 1, 1), np.float32))
            self._node("Add", inputs, f"sum{target}")
            inputs = [f"sum{target}", same]
            self._node("Conv", inputs, self._before(target, activation), group=channels)
        else:
            self._node("Add", inputs, self._before(target, activation))
        self._activate(target, activation)

    def _pooling(self, sources: Sequence[int], target: int, options: _Table) -> None:
        _check(options.number(5, "b") == _NONE, "an activation after MAX_POOL_2D")
        _check(options.number(0, "b") != _SAME, "MAX_POOL_2D beyond the edges")
        size = [options.number(4), options.number(3)]
        stride = [options.number(2), options.number(1)]
        self._emit("MaxPool", sources, target, kernel_shape=size, strides=stride)

    def _reshape(self, source: int, target: int) -> None:
        value = self._value(source)
        if len(self._shapes[source]) == 4:
            self._node("Transpose", [value], f"last{target}", perm=[0, 2, 3, 1])
            value = f"last{target}"
        _check(len(self._shapes[target]) != 4, "RESHAPE to pictures")
        shape = self._weight(np.array(self._shapes[target], np.int64))
        self._node("Reshape", [value, shape], _name(target))

    def _resize(self, source: int, target: int, options: _Table) -> None:
        centred = bool(options.number(3, "B")) and not options.number(2, "B")
        _check(centred, "RESIZE_BILINEAR by corners")
        sizes = zip(self._shapes[source], self._shapes[target], strict=True)
        scales = _channels_first(tuple(new / old for old, new in sizes))
        inputs = [self._value(source), "", self._weight(np.array(scales, np.float32))]
        self._node(
            "Resize",
            inputs,
            _name(target),
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )

    def _emit(
        self, kind: str, sources: Sequence[int], target: int, *more: str, **options: Any
    ) -> None:
        inputs = [*map(self._value, sources), *more]
        self._node(kind, inputs, _name(target), **options)

    def _node(self, kind: str, inputs: Sequence[str], output: str, **options: Any) -> None:
        from onnx import helper

        self._nodes.append(helper.make_node(kind, inputs, [output], **options))

    def _value(self, tensor: int) -> str:
        _check(tensor >= 0 and tensor not in self._constants, "an operator on constants")
        return _name(tensor)

    def _weight(self, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = f"weight{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def _before(self, target: int, activation: int) -> str:
        return _name(target) if activation == _NONE else f"before{target}"

    def _activate(self, target: int, activation: int) -> None:
        source = self._before(target, activation)
        if activation == _RELU:
            self._node("Relu", [source], _name(target))
        elif activation == _RELU6:
            limits = [self._weight(np.array(limit, np.float32)) for limit in (0, 6)]
            self._node("Clip", [source, *limits], _name(target))
        else:
            _check(activation == _NONE, f"its activation {activation}")


def _name(tensor: int) -> str:
    return f"tensor{tensor}"


def _channels_first(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """What belongs to the axes of a tensor, in the order of the ONNX model."""
    return (values[0], values[3], *values[1:3]) if len(values) == 4 else values


def _check(known: bool, what: str) -> None:
    if not known:
        raise ValueError(f"{what} is not known here")


def _constant(tensor: _Table, shape: tuple[int, ...], data: bytes) -> NDArray[Any]:
    kind = tensor.number(1, "b")
    _check(kind in _TYPES, f"a tensor of type {kind}")
    if len(data) % _TYPES[kind].itemsize:
        raise IndexError(len(data))
    values = np.frombuffer(data, _TYPES[kind])
    if tensor.has(6):
        return _unfolded(values, shape, tensor.table(6))
    if values.size != np.prod(shape):
        raise IndexError(values.size)
    return values.reshape(shape)


def _unfolded(values: NDArray[Any], shape: tuple[int, ...], sparsity: _Table) -> NDArray[Any]:
    """A sparse tensor with its zeros: of each dense axis all places are stored, of each sparse
    one those listed, with the number of them for every place so far."""
    in_order = sparsity.array(0, np.int32).tolist() == list(range(len(shape)))
    _check(in_order and not sparsity.has(1), "a tensor of sparse blocks")
    places = np.zeros(1, np.int64)
    for length, axis in zip(shape, sparsity.tables(2), strict=True):
        if axis.number(0, "b") == 0:
            places = (places[:, None] * length + np.arange(length)).ravel()
        else:
            ends, found = (
                axis.table(field + 1).array(0, _INDEX_TYPES[axis.number(field, "B")])
                for field in (2, 4)
            )
            counts = ends[1:].astype(np.int64) - ends[:-1]
            if len(counts) != len(places) or (counts < 0).any() or counts.sum() != len(found):
                raise IndexError(len(found))
            places = places.repeat(counts) * length + found
    if places.max(initial=0) >= np.prod(shape) or len(values) < len(places):
        raise IndexError(len(values))
    dense = np.zeros(int(np.prod(shape)), values.dtype)
    dense[places] = values[: len(places)]
    return dense.reshape(shape)
