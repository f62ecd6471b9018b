"""Checkpoints as safetensors: tensors around JSON, nothing pickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from dancing.errors import DancingError
from dancing.files import write_then_rename

CHECKPOINT = "last.safetensors"
_TREE = "checkpoint"


class SafetensorsIO(CheckpointIO):
    """Lightning checkpoints as safetensors: tensors by number, the tree around them as JSON."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; the file under `path` is replaced at the end, never half-way."""
        tensors: dict[str, torch.Tensor] = {}
        tree = json.dumps(_pack(checkpoint, tensors))
        with write_then_rename(path) as temporary:
            # Not by their own writer: it has a temporary file of its own, which a kill leaves.
            temporary.write_bytes(save(tensors, metadata={_TREE: tree}))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint back, on the CPU.

        Raises:
            DancingError: when the file is no such checkpoint.
        """
        try:
            with safe_open(path, "pt") as file:
                tree = json.loads((file.metadata() or {})[_TREE])
                return _unpack(tree, file)
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise DancingError(f"{path}: not a checkpoint of this program ({error})") from error

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


def _pack(node: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(node, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = node.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(node, dict):
        return {"map": [[_pack(k, tensors), _pack(v, tensors)] for k, v in node.items()]}
    if isinstance(node, list | tuple):
        return [_pack(value, tensors) for value in node]
    if isinstance(node, Path):
        return str(node)
    if node is None or isinstance(node, bool | int | float | str):
        return node
    raise TypeError(f"a checkpoint cannot hold a {type(node).__name__}")


def _unpack(node: Any, file: Any) -> Any:
    if isinstance(node, dict):
        if "tensor" in node:
            return file.get_tensor(node["tensor"])
        return {_unpack(k, file): _unpack(v, file) for k, v in node["map"]}
    if isinstance(node, list):
        return [_unpack(value, file) for value in node]
    return node
