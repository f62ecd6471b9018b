"""How fast pictures are drawn, and how far that is from what these cores could do.

    python benchmarks/picture.py [SONG] [--dancer NAME] [--duration S]

Stages by themselves: the network, laying the person over the scene, encoding. Then both limits:
the network's operations over the throughput that ONNX Runtime reaches on one large convolution,
and encoding alone. Last, drawing and encoding together as `dancing generate` runs them.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import dancing
from dancing.image.compositing import crops
from dancing.image.dancer import Dancer
from dancing.media.video import VideoWriter
from dancing.pipeline import generate

SONG = Path(__file__).parent.parent / "examples" / "song.ogg"
FRAMES = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("song", nargs="?", type=Path, default=SONG)
    parser.add_argument("--dancer", default="default")
    parser.add_argument("--duration", type=float, default=FRAMES / 30)
    arguments = parser.parse_args()
    dancer = Dancer(arguments.dancer)
    choreographer = dancing.Choreographer(
        dancer.bundle if dancer.bundle.has("motion") else "default"
    )
    song = dancing.load_song(arguments.song, duration=arguments.duration)
    poses = choreographer(song, placement=dancer.placement)
    count = len(poses)
    list(dancer(poses[:16]))

    begin = time.perf_counter()
    frames = list(dancer(poses))
    drawing = (time.perf_counter() - begin) / count
    operations, network = profile(dancer, poses.landmarks)
    throughput = convolution_throughput()
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        with VideoWriter(Path(folder) / "a.mp4", *dancer.size, sound=arguments.song) as video:
            for frame in frames:
                video.write(frame)
        encoding = (time.perf_counter() - begin) / count
        poses.save(Path(folder) / "poses.npz")
        begin = time.perf_counter()
        generate(
            arguments.song,
            Path(folder) / "b.mp4",
            dancer=dancer.bundle.path,
            poses_from=Path(folder) / "poses.npz",
            duration=arguments.duration,
        )
        together = (time.perf_counter() - begin) / count
    limit = max(operations / throughput, encoding)
    rows = [
        ("network", network),
        ("network and laying over the scene", drawing),
        ("encoding alone", encoding),
        ("all, as generate runs them", together),
        ("limit of the network", operations / throughput),
    ]
    for name, seconds in rows:
        print(f"{name:36s} {seconds * 1000:6.2f} ms a frame  {1 / seconds:6.1f} frames a second")
    print(
        f"\n{count} frames; {operations / 1e9:.2f} GFLOP a frame, of "
        f"{throughput / 1e9:.0f} GFLOP/s; {together / limit:.1f} times the slower limit"
    )


def profile(dancer: Dancer, landmarks: np.ndarray) -> tuple[float, float]:
    """Operations (of convolutions) and seconds a frame that the network takes."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(
            dancer.bundle.file("image.onnx"), options, onnxruntime.get_available_providers()
        )
        points = landmarks * np.array(dancer.size, np.float32)
        margin = dancer.bundle.stage("image").margin
        seconds = 0.0
        for start in range(0, len(points), 8):
            batch = points[start : start + 8]
            crop, corners = crops(batch, margin, dancer.size)
            inputs = {"landmarks": batch, "corners": corners.astype(np.float32)}
            begin = time.perf_counter()
            session.run(None, inputs | {"crop": np.array(crop, np.int64)})
            seconds += time.perf_counter() - begin
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
    return operations / len(points), seconds / len(points)


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
