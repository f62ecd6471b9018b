"""How fast pictures are drawn, and how far that is from what these cores could do.

    python benchmarks/picture.py [SONG] [--dancer NAME] [--height PIXELS] [--duration S]

First drawing and encoding together, as `dancing generate` runs them, and the peak of memory until
then. Then stages by themselves, one after the other: of `limbs` the network, of `warp` what each
frame is painted by; encoding. Last the limits. Of `limbs`: the network's operations over the
throughput that ONNX Runtime reaches on one large convolution; of `warp`: sampling the pictures; of
both, encoding alone.

Beside the time that passes, the processor's, which other work on the machine distorts less.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import dancing
from dancing.bundle import Bundle
from dancing.image.compositing import crops
from dancing.image.dancer import Dancer
from dancing.image.warp import painter, refining, runtime
from dancing.media.video import VideoWriter
from dancing.pipeline import generate

SONG = Path(__file__).parent.parent / "examples" / "song.ogg"
FRAMES = 300
# Of `warp`: where each stage is found. One within another is taken off that.
ONCE = "cutting references into layers"
SAMPLING = "- sampling"
STAGES = (
    (ONCE, runtime, "cut"),
    ("choosing references", runtime.Chooser, "__call__"),
    ("painting the person", runtime, "paint"),
    ("- skinning", painter, "skinned"),
    ("- where pixels come from", painter, "drawn"),
    (SAMPLING, "cv2", "remap"),
    ("- layers over each other", painter, "lay_over"),
    ("mending the person", runtime.Refiner, "__call__"),
    ("- sketch", refining, "sketch"),
    ("- network", Bundle, "run"),
    ("shadow", runtime, "_shade"),
    ("shadow over the scene", runtime, "darken"),
    ("laying over the scene", runtime, "_lay_over"),
)


@dataclass
class Cost:
    """Seconds that passed, and those of all processors."""

    wall: float = 0.0
    cpu: float = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Add what the block takes."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu

    def minus(self, other: Cost) -> Cost:
        return Cost(self.wall - other.wall, self.cpu - other.cpu)

    def over(self, frames: int) -> Cost:
        return Cost(self.wall / frames, self.cpu / frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("song", nargs="?", type=Path, default=SONG)
    parser.add_argument("--dancer", default="default")
    parser.add_argument("--height", type=int)
    parser.add_argument("--duration", type=float, default=FRAMES / 30)
    arguments = parser.parse_args()
    dancer = Dancer(arguments.dancer, arguments.height)
    choreographer = dancing.Choreographer(
        dancer.bundle if dancer.bundle.has("motion") else "default"
    )
    song = dancing.load_song(arguments.song, duration=arguments.duration)
    poses = dancer.fit(choreographer(song, placement=dancer.placement))
    count = len(poses)
    together, drawing, encoding = Cost(), Cost(), Cost()
    with tempfile.TemporaryDirectory() as folder:
        poses.save(Path(folder) / "poses.npz")
        with together.measured():
            generate(
                arguments.song,
                Path(folder) / "b.mp4",
                dancer=dancer.bundle.path,
                poses_from=Path(folder) / "poses.npz",
                height=arguments.height,
                duration=arguments.duration,
            )
        # Linux counts in KiB, macOS in bytes.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** (
            20 if sys.platform == "darwin" else 10
        )
        list(dancer(poses[:16]))
        with drawing.measured():
            frames = list(dancer(poses))
        with (
            encoding.measured(),
            VideoWriter(Path(folder) / "a.mp4", *dancer.size, sound=arguments.song) as video,
        ):
            for frame in frames:
                video.write(frame)
    rows = [("all, as generate runs it", together.over(count))]
    rows += [("drawing alone", drawing.over(count)), ("encoding alone", encoding.over(count))]
    remark = ""
    if dancer.bundle.stage("image").model != "warp":
        operations, network = profile(dancer, poses.landmarks)
        throughput = convolution_throughput()
        limit = operations / throughput
        rows += [("network", network), ("limit of the network", Cost(limit, math.nan))]
        remark = f"{operations / 1e9:.2f} GFLOP a frame, of {throughput / 1e9:.0f} GFLOP/s; "
    else:
        stages = warp_stages(dancer, poses)
        once = stages.pop(ONCE)
        remark = f"{ONCE}, once: {once.wall:.1f} s ({once.cpu:.1f} s of processors); "
        limit = stages[SAMPLING].over(count).wall
        rows += [(name, cost.over(count)) for name, cost in stages.items()]
    limit = max(limit, encoding.wall / count)
    for name, cost in rows:
        cpu = "" if math.isnan(cost.cpu) else f"{cost.cpu * 1000:8.2f} ms of processors"
        passed = f"{cost.wall * 1000:8.2f} ms a frame {1 / cost.wall:8.1f} frames a second"
        print(f"{name:28s}{passed}{cpu}")
    print(
        f"\n{count} frames of {dancer.size[0]}x{dancer.size[1]}; peak memory {peak:.0f} MB; "
        f"{remark}{together.wall / count / limit:.1f} times the slower limit"
    )


def warp_stages(dancer: Dancer, poses: dancing.PoseSequence) -> dict[str, Cost]:
    """What each stage of `warp` costs in all, one after the other, not overlapping."""
    costs = {name: Cost() for name, _, _ in STAGES}

    def timed(cost: Cost, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            with cost.measured():
                return function(*arguments, **options)

        return call

    with ExitStack() as stack:
        stack.enter_context(patch.object(runtime, "ahead", lambda items, _: items))
        for name, place, function in STAGES:
            owner = __import__(place) if isinstance(place, str) else place
            replacement = timed(costs[name], getattr(owner, function))
            stack.enter_context(patch.object(owner, function, replacement))
        for _ in dancer(poses):
            pass
    costs["- where pixels come from"] = costs["- where pixels come from"].minus(costs[SAMPLING])
    return costs


def profile(dancer: Dancer, landmarks: np.ndarray) -> tuple[float, Cost]:
    """Operations (of convolutions) and the cost a frame of the network."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(
            dancer.bundle.file("image.onnx"), options, onnxruntime.get_available_providers()
        )
        card = dancer.bundle.stage("image")
        points = landmarks * np.array(card.size, np.float32)
        cost = Cost()
        for start in range(0, len(points), 8):
            batch = points[start : start + 8]
            crop, corners = crops(batch, card.margin, card.size)
            inputs = {"landmarks": batch, "corners": corners.astype(np.float32)}
            with cost.measured():
                session.run(None, inputs | {"crop": np.array(crop, np.int64)})
        events = json.loads(Path(session.end_profiling()).read_text())
    operations = 0.0
    kernels = kernels_of(onnx.load_from_string(dancer.bundle.file("image.onnx")))
    for event in events:
        name = event["name"].removesuffix("_kernel_time")
        if not event["name"].endswith("kernel_time") or "Conv" not in event["args"]["op_name"]:
            continue
        sides = next(iter(event["args"]["output_type_shape"][0].values()))
        # Eight-bit convolutions go by their node's name and hide the kernel; others show it.
        hidden = [kernel for node, kernel in kernels.items() if name.startswith(node)]
        kernel = hidden[0] if hidden else next(iter(event["args"]["input_type_shape"][1].values()))
        operations += 2 * math.prod(kernel) * math.prod(sides) // kernel[0]
    return operations / len(points), cost.over(len(points))


def kernels_of(model: onnx.ModelProto) -> dict[str, list[int]]:
    """The shape of every convolution's kernel, by the node's name."""
    shapes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    source = {node.output[0]: node.input[0] for node in model.graph.node if node.input}
    kernels = {}
    for node in model.graph.node:
        if node.op_type == "Conv":
            name = node.input[1]
            while name not in shapes:
                name = source[name]
            kernels[node.name] = shapes[name]
    return kernels


def convolution_throughput() -> float:
    """Operations a second of one large convolution, the best of some runs."""
    channels, side = 128, 96
    weight = np.random.default_rng(0).standard_normal((channels, channels, 3, 3), np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        "convolution",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, side, side])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, channels, side, side])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=onnxruntime.get_available_providers()
    )
    picture = {"x": np.ones((1, channels, side, side), np.float32)}
    times = []
    for _ in range(12):
        begin = time.perf_counter()
        session.run(None, picture)
        times.append(time.perf_counter() - begin)
    return 2 * 9 * channels**2 * side**2 / min(times)


if __name__ == "__main__":
    main()
