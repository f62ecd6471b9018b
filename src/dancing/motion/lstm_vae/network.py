"""The reference motion model: an LSTM variational autoencoder from MFCC to poses.

MFCC (T, 13) -> LSTM 128 -> LSTM 128 -> z_mean, z_log_var -> z -> Dense 128 -> repeated T times
-> LSTM 128 -> Dense of each step -> (T, 33, 2). Loss: reconstruction MSE + KL divergence
(Kingma and Welling, Auto-Encoding Variational Bayes, 2013, equation 10).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from dancing.body.skeleton import N_LANDMARKS
from dancing.training.ranges import check_ranges


@dataclass(frozen=True)
class Config:
    """Dimensions and hyperparameters.

    Attributes:
        window: T, frames that are made at a time.
        n_mfcc: features a frame.
        units: width of every LSTM and of the decoder's dense layer.
        latent_dim: length of z.
        kl_weight: factor of the KL term. At 1, the textbook loss, z soon carries nothing and
            every window is the mean pose; the shipped weights use less (their card says).
        learning_rate: of Adam.
        beta1: decay of Adam's first moment, a step.
        beta2: of its second moment.
        hops: a window begins every so many parts of one, shifted at random by up to one such part.
        least_epoch: windows an epoch; a small set is repeated.
    """

    window: int = 120
    n_mfcc: int = 13
    units: int = 128
    latent_dim: int = 32
    kl_weight: float = 1.0
    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    hops: int = 8
    least_epoch: int = 4096

    def __post_init__(self) -> None:
        check_ranges(
            self,
            positive=["learning_rate"],
            not_negative=["kl_weight"],
            at_least_1=["hops", "least_epoch"],
        )
        if self.window < 2 or min(self.n_mfcc, self.units, self.latent_dim) < 1:
            raise ValueError("window must be at least 2, dimensions at least 1")
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise ValueError("beta1 and beta2 must be at least 0 and below 1")


class LstmVae(nn.Module):
    """The network alone.

    Input: mfcc (N, T, n_mfcc), standardised; noise (N, latent_dim), standard normal.
    Output: poses (N, T, 33, 2) in the body frame; z_mean and z_log_var (N, latent_dim).
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        units, latent = config.units, config.latent_dim
        self.encoder_1 = nn.LSTM(config.n_mfcc, units, batch_first=True)
        self.encoder_2 = nn.LSTM(units, units, batch_first=True)
        self.z_mean = nn.Linear(units, latent)
        self.z_log_var = nn.Linear(units, latent)
        self.decoder_dense = nn.Linear(latent, units)
        self.decoder_lstm = nn.LSTM(units, units, batch_first=True)
        self.decoder_poses = nn.Linear(units, N_LANDMARKS * 2)

    def forward(
        self, mfcc: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        sequence, _ = self.encoder_1(mfcc)
        sequence, _ = self.encoder_2(sequence)
        summary = sequence[:, -1]
        z_mean, z_log_var = self.z_mean(summary), self.z_log_var(summary)
        z = z_mean + torch.exp(0.5 * z_log_var) * noise
        repeated = self.decoder_dense(z).unsqueeze(1).expand(-1, mfcc.shape[1], -1)
        steps, _ = self.decoder_lstm(repeated)
        poses = self.decoder_poses(steps).unflatten(-1, (N_LANDMARKS, 2))
        return poses, z_mean, z_log_var


class Deployed(nn.Module):
    """What inference runs: raw MFCC (N, T, n_mfcc) and noise to poses (N, T, 33, 2)."""

    def __init__(self, network: LstmVae, mean: torch.Tensor, std: torch.Tensor) -> None:
        super().__init__()
        self.network = network
        self.mean = nn.Buffer(mean)
        self.std = nn.Buffer(std)

    def forward(self, mfcc: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return self.network((mfcc - self.mean) / self.std, noise)[0]
