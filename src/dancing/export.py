"""Make a dancer bundle from training runs: ONNX for inference, safetensors to go on training."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save

from dancing.bundle import CARD, check_output, write_bundle
from dancing.card import Card, Parent, StageCard, TrainingStep, weights_id
from dancing.errors import DancingError
from dancing.family import family
from dancing.media import FPS, SAMPLE_RATE
from dancing.music.mfcc import HOP_LENGTH, N_FFT, N_MFCC
from dancing.training.checkpoint import CHECKPOINT, SafetensorsIO
from dancing.training.module import TrainingModule

_SMALL = 4096
_ARITHMETIC = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}
# Facts of the data that runs must share for a mean of their weights to mean anything.
_ALIKE = ("size", "view", "mean", "std", "music", "mfcc_mean", "mfcc_std")


def export(
    runs: Sequence[str | Path],
    output: str | Path,
    *,
    name: str | None = None,
    licence: str = "unspecified",
    data: str = "unspecified",
) -> Path:
    """Write a bundle with one model of each stage.

    Args:
        runs: run folders, or 'FOLDER:WEIGHT'. Of several of one stage, the bundle gets the mean of
            their weights (Wortsman et al., Model soups, ICML 2022), by these parts, 1 each by
            default; they must be of one family, of the same dimensions and data.
        output: the bundle's folder, or a .zip; an older bundle there is replaced.
        name: the dancer's name. Default: the output's.
        licence: of the weights, for the card.
        data: what the weights were trained on, in words, for the card.

    Returns:
        The path written.

    Raises:
        DancingError: when a run cannot be used, runs do not fit each other, or something else lies
            at `output`.
    """
    output = Path(output)
    check_output(output)
    files: dict[str, bytes] = {}
    stages: dict[str, list[_Run]] = {}
    for each in map(_opened, runs):
        stages.setdefault(each.module.origin["stage"], []).append(each)
    cards: dict[str, StageCard] = {}
    for stage, opened in stages.items():
        module, history = _mean(opened)
        files |= module.files()
        files[f"{stage}.onnx"] = _onnx(module)
        files[f"{stage}.safetensors"] = _weights(module)
        cards[stage] = replace(module.card(), training=history)
    card = Card(
        name=name or output.stem,
        files={key: hashlib.sha256(value).hexdigest() for key, value in files.items()},
        motion=cards.get("motion"),
        image=cards.get("image"),
        licence=licence,
        data=data,
        fps=FPS,
        features={
            "sample_rate": SAMPLE_RATE,
            "hop_length": HOP_LENGTH,
            "n_fft": N_FFT,
            "n_mfcc": N_MFCC,
        },
    )
    files[CARD] = (json.dumps(card.to_json(), indent=2) + "\n").encode()
    write_bundle(files, output)
    return output


@dataclass(frozen=True)
class _Run:
    """A run, and its part of a mean."""

    path: Path
    weight: float
    module: TrainingModule


def _opened(run: str | Path) -> _Run:
    path, weight = str(run), 1.0
    folder, colon, text = path.rpartition(":")
    if colon and re.fullmatch(r"\d*\.?\d+", text):
        path, weight = folder, float(text)
        if weight <= 0:
            raise DancingError(f"{run}: its part of the mean is above 0")
    return _Run(Path(path), weight, load_run(path))


def _mean(runs: Sequence[_Run]) -> tuple[TrainingModule, tuple[TrainingStep, ...]]:
    """The first run's module with the mean of all runs' weights, and how these came about.

    Raises:
        DancingError: when runs differ in what a mean needs alike.
    """
    first, *others = runs
    total = sum(run.weight for run in runs)
    steps: list[TrainingStep] = []
    parents = []
    for run in runs:
        for fact in ("model", *_ALIKE):
            if run.module.origin.get(fact) != first.module.origin.get(fact):
                raise DancingError(f"{run.path}: is of another {fact} than {first.path}")
        own = weights_id(_weights(run.module))
        *before, last = run.module.card().training
        steps += [step for step in (*before, replace(last, weights=own)) if step not in steps]
        parents.append(Parent(own, round(run.weight / total, 6), run.path.absolute().name))
    if not others:
        return first.module, tuple(steps)
    states = [run.module.state_dict() for run in runs]
    if any(
        {key: value.shape for key, value in state.items()}
        != {key: value.shape for key, value in states[0].items()}
        for state in states
    ):
        raise DancingError(f"{', '.join(str(run.path) for run in runs)}: differ in dimensions")
    mean = {}
    for key, value in states[0].items():
        if value.is_floating_point():
            parts = [
                state[key].double() * run.weight for run, state in zip(runs, states, strict=True)
            ]
            value = (torch.stack(parts).sum(0) / total).to(value.dtype)
        mean[key] = value
    first.module.load_state_dict(mean)
    own = weights_id(_weights(first.module))
    return first.module, (*steps, TrainingStep("mean", own, tuple(parents)))


def _weights(module: TrainingModule) -> bytes:
    """What a bundle keeps to train further: safetensors, large ones as float16."""
    return save({key: _half(value) for key, value in module.weights().items()})


def load_run(run: str | Path) -> TrainingModule:
    """The training module of a run folder, with its trained weights.

    Raises:
        DancingError: when the folder holds no run, or one of unknown models.
    """
    path = Path(run) / CHECKPOINT
    if not path.is_file():
        raise DancingError(f"{run}: not a training run, it holds no {CHECKPOINT}")
    checkpoint = SafetensorsIO().load_checkpoint(path)
    try:
        config = checkpoint["hyper_parameters"]["config"]
        origin = checkpoint["hyper_parameters"]["origin"]
        if not origin["history"]:
            raise KeyError("history")
        learning = family(origin["stage"], origin["model"]).training
        module = learning.Training(learning.Config(**config), origin)
        module.load_state_dict(checkpoint["state_dict"])
    except (KeyError, TypeError, RuntimeError) as error:
        raise DancingError(f"{path}: does not fit this program's models ({error})") from error
    module = module.eval()
    return module


def _onnx(module: TrainingModule) -> bytes:
    network, example, outputs = module.deployed()
    buffer = io.BytesIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            network.eval(),
            tuple(example.values()),
            buffer,  # type: ignore[arg-type]
            input_names=list(example),
            output_names=outputs,
            dynamic_axes=module.dynamic_axes(),
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    if inputs := module.calibration():
        model = _quantized(model, inputs, module.exact)
    _store_half(model)
    _shorten(model)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _quantized(
    model: onnx.ModelProto, inputs: list[dict[str, Any]], exact: Sequence[str]
) -> onnx.ModelProto:
    """Convolutions that compute in eight bits, their ranges found on typical inputs.

    Weights have seven: processors without the instructions for eight overflow otherwise.
    """
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(inputs)

        def get_next(self) -> dict[str, Any] | None:
            return next(self._left, None)

    kept = [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and any(part in node.name for part in exact)
    ]
    with tempfile.TemporaryDirectory() as folder, _no_warnings():
        path = Path(folder) / "quantized.onnx"
        quantization.quantize_static(
            model,
            path,
            Reader(),
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=kept,
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            # The mean of the inputs' ranges: one odd pose would coarsen the steps of all others.
            extra_options={"CalibMovingAverage": True},
        )
        model = onnx.load(path)
    _take_bytes(model)
    return model


def _take_bytes(model: onnx.ModelProto) -> None:
    """Where bytes become numbers that are quantised into about the same bytes, leave them bytes."""
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer} | {
        node.output[0]: numpy_helper.to_array(node.attribute[0].t)
        for node in graph.node
        if node.op_type == "Constant"
    }
    inputs = {value.name for value in graph.input if _kind(value) == TensorProto.UINT8}
    for node in graph.node:
        if node.op_type == "Transpose" and node.input[0] in inputs:
            inputs.add(node.output[0])
    for node in [node for node in graph.node if node.op_type == "QuantizeLinear"]:
        steps = [node]
        while (maker := makers.get(steps[-1].input[0])) and maker.op_type in _ARITHMETIC:
            steps.append(maker)
        if maker is None or maker.op_type != "Cast" or maker.input[0] not in inputs:
            continue
        values = every = np.arange(256.0)
        for step in steps[:0:-1]:
            values = _ARITHMETIC[step.op_type](values, constants[step.input[1]])
        scale, zero = (constants[name].astype(float) for name in node.input[1:])
        if np.abs(values / scale + zero - every).max() > 1:
            continue
        for user in graph.node:
            for place, name in enumerate(user.input):
                if name == node.output[0]:
                    user.input[place] = maker.input[0]
        for unused in (*steps, maker):
            if not any(unused.output[0] in each.input for each in graph.node):
                graph.node.remove(unused)


def _kind(value: onnx.ValueInfoProto) -> int:
    return value.type.tensor_type.elem_type


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    """ONNX Runtime advises, in the root logger, a step that these models do not need."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _store_half(model: onnx.ModelProto) -> None:
    """Keep large weights as float16, cast back when loaded: half the size, computed as before."""
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _SMALL:
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _shorten(model: onnx.ModelProto) -> None:
    """Number what flows between nodes, and drop its shapes: both are but for people, and large."""
    graph = model.graph
    del graph.value_info[:]
    known = {value.name for value in [*graph.input, *graph.output]} | {""}
    numbers: dict[str, str] = {}

    def short(name: str) -> str:
        return name if name in known else numbers.setdefault(name, str(len(numbers)))

    for tensor in graph.initializer:
        tensor.name = short(tensor.name)
    for node in graph.node:
        node.input[:] = [short(name) for name in node.input]
        node.output[:] = [short(name) for name in node.output]


def _half(tensor: torch.Tensor) -> torch.Tensor:
    large = tensor.is_floating_point() and tensor.numel() >= _SMALL
    return (tensor.half() if large else tensor).contiguous()
