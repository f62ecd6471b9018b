"""The optimiser Muon, for weights that map features to features."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

# Coefficients of Jordan's quintic Newton-Schulz iteration.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal: every direction of a weight learns at one speed.

    Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024. PyTorch's own
    takes matrices only; this one takes kernels (outputs, inputs, height, width) as matrices
    (outputs, the rest).

    Args:
        weights: of two or more dimensions.
        rate: learning rate.
        momentum: Nesterov's.
    """

    def __init__(
        self, weights: Iterable[torch.nn.Parameter], rate: float, momentum: float = 0.95
    ) -> None:
        super().__init__(weights, {"lr": rate, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take a step."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight.grad)
                state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                ahead = weight.grad.lerp(state["momentum"], group["momentum"])
                # The step may be asked for where products are taken in bfloat16.
                with torch.autocast(weight.device.type, enabled=False):
                    step = _orthogonal(ahead.flatten(1)).view_as(ahead)
                outputs, inputs = ahead.flatten(1).shape
                weight.add_(step, alpha=-group["lr"] * max(1, outputs / inputs) ** 0.5)


def _orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """About the nearest matrix whose singular values are all 1.

    Newton-Schulz, on X X^T alone: its steps x = f(x x^T) x share their singular vectors, so the
    factors f are multiplied and x only at the end, which takes less than half the operations.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    square = x @ x.T
    product = torch.eye(len(square), dtype=square.dtype, device=square.device)
    for _ in range(_ITERATIONS):
        factor = torch.addmm(square, square, square, beta=_B, alpha=_C)
        factor.diagonal().add_(_A)
        product = factor @ product
        square = factor @ square @ factor
    x = product @ x
    return x.T if tall else x
