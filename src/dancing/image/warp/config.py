"""Dimensions and hyperparameters of the network of `warp`: all that changes what is learned."""

from __future__ import annotations

from dataclasses import dataclass

from dancing.training.ranges import check_ranges


@dataclass(frozen=True)
class Config:
    """Dimensions and hyperparameters; pixels are those of a sketch, see `refining.Sketch`.

    Attributes:
        channels: of the U-Net at half a sketch's size; at each half below 2, 3 and 4 times as many.
        pose_noise: standard deviation of landmarks' errors, torso lengths.
        line_noise: of how far a sketch's lines are off, all together and each kind by itself, torso
            lengths. The landmarks of a photo and those of a dance are not found alike; who trusts
            lines more than what is painted draws people twice.
        lineless: part of the sketches that have no lines.
        cutout_noise: standard deviation of how far a cut-out's edge is off, torso lengths.
        reference_yaw: degrees by which a reference is turned from the camera at most.
        target_yaw: degrees between a target and its references at most.
        references: the most of a person.
        pairs: of a sketch and its target, made of each target from references drawn anew.
        frame_step: from one frame of a clip that is used to the next.

        learning_rate: of Adam, at its highest.
        discriminator_learning_rate: of the discriminators' Adam, constant.
        warm_up_steps: over which the rate rises from 0.
        falling_part: of the training, at whose end the rate falls linearly.
        final_rate_factor: of the highest rate, what is left at the end.
        ema_decay: of the average over the weights, a step.
        gradient_clip: largest norm of the gradient.
        alpha_weight: of the L1 loss of alpha.
        edge_weight: of the L1 loss between gradients of pictures.
        own_weight: of the L1 loss of the network's own colours.
        price: of each pixel of the references that is not kept though the person is there. An L1
            loss alone would take its own blurred colours wherever a reference is a pixel off.
        texture_weight: of the L1 loss between how much detail patches have.
        texture_patch: side of such a patch, pixels.
        adversarial_from: part of the training after which the discriminators join, 0 to 1.
        adversarial_weight: of the generator's adversarial loss.
        feature_weight: of the L1 loss between the discriminators' features.
    """

    channels: int = 16

    pose_noise: float = 0.012
    line_noise: float = 0.03
    lineless: float = 0.15
    cutout_noise: float = 0.015
    reference_yaw: float = 50.0
    target_yaw: float = 65.0
    references: int = 4
    pairs: int = 2
    frame_step: int = 6

    learning_rate: float = 1e-3
    discriminator_learning_rate: float = 4e-4
    warm_up_steps: int = 200
    falling_part: float = 0.5
    final_rate_factor: float = 0.05
    ema_decay: float = 0.998
    gradient_clip: float = 1.0
    alpha_weight: float = 1.0
    edge_weight: float = 0.5
    own_weight: float = 0.3
    price: float = 0.1
    texture_weight: float = 0.5
    texture_patch: int = 8
    adversarial_from: float = 0.3
    adversarial_weight: float = 0.02
    feature_weight: float = 0.1

    def __post_init__(self) -> None:
        check_ranges(
            self,
            positive=(
                "falling_part",
                "learning_rate",
                "discriminator_learning_rate",
            ),
            not_negative=(
                "pose_noise",
                "line_noise",
                "cutout_noise",
                "price",
                *(name for name in type(self).__dataclass_fields__ if name.endswith("_weight")),
            ),
            fractions=("ema_decay", "final_rate_factor", "adversarial_from", "lineless"),
            at_least_1=(
                "channels",
                "references",
                "pairs",
                "frame_step",
                "warm_up_steps",
                "texture_patch",
            ),
        )
