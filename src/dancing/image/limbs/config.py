"""Dimensions and hyperparameters of `limbs`: all that changes what is learned."""

from __future__ import annotations

from dataclasses import dataclass

from dancing.training.ranges import check_ranges


@dataclass(frozen=True)
class Config:
    """Dimensions and hyperparameters; lengths in pixels are of the clips' pictures.

    Attributes:
        channels: of the finest level of the U-Net; the coarser ones have 2, 3 and 4 times as
            many. Multiples of 16 are drawn fastest by ONNX Runtime.

        learning_rate: of Muon, at its highest.
        others_learning_rate_factor: of that, the rate of Adam, for all but inner convolutions.
        fingers_learning_rate_factor: of Adam's rate, that of the fingers' network: pictures say
            little of where a finger is, and what it began with would be lost.
        pose_learning_rate_factor: of Adam's rate, that of the whole pose's network, which moves
            every channel of every level.
        discriminator_learning_rate: of the discriminators' Adam, constant.
        discriminator_beta1: decay of that Adam's first moment.
        muon_momentum: Nesterov's.
        warm_up_steps: over which the rates rise from 0.
        full_rate_until: part of the training, 0 to 1, after which the rates fall linearly.
        final_rate_factor: of the highest rate, what is left at the end.
        gradient_clip: largest norm of the generator's gradient.
        ema_decay: of the average over the weights, which is what draws; a step.

        matte_weight: of the cross-entropy between generated and true matte.
        adversarial_matte_factor: of matte_weight, once the discriminators have joined.
        edge_weight: of the L1 loss between the gradients of the pictures.
        adversarial_edge_factor: of edge_weight, once the discriminators have joined. The loss of
            edges is least for blurred ones where their place is uncertain; a free matte would
            paint the shadow on the floor, badly.
        hand_weight: how many times as much as others the pixels around hands count. Fingers are
            soon found with 6 and hardly with 1; then less will do.
        outside_weight: how much pixels away from the person count, against 1 more on her.
        outline_pixels: around the person that count as hers.
        shade_weight: of the squared error of the shaded scene outside the matte.

        adversarial_from: part of the training after which the discriminators join, 0 to 1; never
            above that.
        adversarial_weight: of the generator's adversarial loss.
        part_discriminator_weight: of that of face and hands in it. A detail has a thirtieth of the
            picture's pixels: with a full weight its few would be pushed thirty times as hard,
            until dark spots make up for a mouth.
        feature_weight: of the L1 loss between the discriminators' features (feature matching).
        temporal_weight: of the L1 loss between changes from one picture to the next.
        texture_weight: of the L1 loss between how much detail patches have; it joins with the
            discriminators, as the temporal one does.
        texture_patch: side of such a patch, pixels.
        detail_gain: by which fine patterns are amplified for the discriminator of the whole:
            cloth and skin have some too faint for one kept smooth by spectral normalisation.
        face_crop_torsos: side of the face's discriminator's crop, torso lengths.
        face_crop_pixels: that side, sampled, pixels.
        hand_crop_torsos: side of the hands' crops, and of where `hand_weight` counts, torso
            lengths.
        hand_crop_pixels: that side, sampled, pixels.

        depth_weight: of the L1 loss of depth, per metre.
        depth_views: random views of poses that depth learns from in a step.
        depth_turn: standard deviation of the turn of half of the views, radians; the others are
            turned anyhow.
        depth_tilt: of their tilt, radians.
        depth_shift: of their shift across and along the room, metres.
        depth_shift_up: of their shift up and down, metres.
        depth_nearest: to the camera, metres.
        depth_least_noise: of the landmarks of a view, standard deviation, pixels.
        depth_most_noise: likewise; evenly in between by its logarithm.

        fingers_steps: of the fingers' network before the pictures, on a hand turned every way.
        fingers_samples: hands a step.
        fingers_learning_rate: of Adam there, at its highest.
        fingers_bend: of wrists, standard deviation, radians.
        fingers_shortest: of such hands, pixels from wrist to knuckles.
        fingers_longest: likewise; evenly in between by its logarithm.
        fingers_noise: of their landmarks, of that length.

        least_difficulty: how often a picture is drawn at least, against 1 for one generated as
            well as the mean.
        most_difficulty: and at most.
        difficulty_rate: by which the running mean of errors nears those of a step, 0 to 1.
        scene_matte_pixels: around the matte that do not count as the empty scene.
        crop_margin_pixels: around the person, beyond what mattes show of her, in a crop.
        kept_poses: of the data, kept for depth and for the bounds of the whole pose's network.
        pose_bound_part: of these poses, on either side, what is left out of these bounds.
    """

    # Network
    channels: int = 32
    # Optimisers
    learning_rate: float = 6e-3
    others_learning_rate_factor: float = 0.25
    fingers_learning_rate_factor: float = 0.02
    pose_learning_rate_factor: float = 0.3
    discriminator_learning_rate: float = 4e-4
    discriminator_beta1: float = 0.5
    muon_momentum: float = 0.95
    warm_up_steps: int = 100
    full_rate_until: float = 0.5
    final_rate_factor: float = 0.03
    gradient_clip: float = 1.0
    ema_decay: float = 0.999
    # Losses against the pictures
    matte_weight: float = 0.2
    adversarial_matte_factor: float = 2.0
    edge_weight: float = 1.0
    adversarial_edge_factor: float = 0.4
    hand_weight: float = 2.0
    outside_weight: float = 0.2
    outline_pixels: int = 3
    shade_weight: float = 10.0
    # Discriminators, and the losses that join with them
    adversarial_from: float = 0.65
    adversarial_weight: float = 0.03
    part_discriminator_weight: float = 0.05
    feature_weight: float = 0.1
    temporal_weight: float = 1.0
    texture_weight: float = 0.5
    texture_patch: int = 8
    detail_gain: float = 2.0
    face_crop_torsos: float = 0.55
    face_crop_pixels: int = 64
    hand_crop_torsos: float = 0.4
    hand_crop_pixels: int = 48
    # Depth
    depth_weight: float = 1.0
    depth_views: int = 256
    depth_turn: float = 0.5
    depth_tilt: float = 0.06
    depth_shift: float = 0.2
    depth_shift_up: float = 0.05
    depth_nearest: float = 0.3
    depth_least_noise: float = 0.2
    depth_most_noise: float = 2.5
    # Fingers
    fingers_steps: int = 1500
    fingers_samples: int = 256
    fingers_learning_rate: float = 1e-2
    fingers_bend: float = 0.4
    fingers_shortest: float = 8.0
    fingers_longest: float = 24.0
    fingers_noise: float = 0.04
    # Data
    least_difficulty: float = 0.3
    most_difficulty: float = 3.0
    difficulty_rate: float = 0.01
    scene_matte_pixels: int = 6
    crop_margin_pixels: int = 4
    kept_poses: int = 4096
    pose_bound_part: float = 0.01

    def __post_init__(self) -> None:
        names = type(self).__dataclass_fields__
        check_ranges(
            self,
            positive=(
                "depth_nearest",
                "depth_least_noise",
                "fingers_shortest",
                "least_difficulty",
                *(n for n in names if n.endswith(("learning_rate", "_factor", "_torsos", "clip"))),
            ),
            not_negative=(
                "adversarial_from",
                "detail_gain",
                "fingers_bend",
                "fingers_noise",
                "outline_pixels",
                "scene_matte_pixels",
                "crop_margin_pixels",
                "depth_turn",
                "depth_tilt",
                "depth_shift",
                "depth_shift_up",
                *(n for n in names if n.endswith("_weight")),
            ),
            fractions=(
                "full_rate_until",
                "final_rate_factor",
                "ema_decay",
                "difficulty_rate",
                "discriminator_beta1",
                "muon_momentum",
            ),
            at_least_1=(
                "warm_up_steps",
                "texture_patch",
                "face_crop_pixels",
                "hand_crop_pixels",
                "depth_views",
                "fingers_steps",
                "fingers_samples",
                "kept_poses",
            ),
        )
        if self.channels < 5:
            raise ValueError("channels must be at least 5")
        if max(self.full_rate_until, self.discriminator_beta1, self.muon_momentum) >= 1:
            raise ValueError("full_rate_until, discriminator_beta1, muon_momentum must be below 1")
        if not 0 <= self.pose_bound_part < 0.5:
            raise ValueError("pose_bound_part must be at least 0 and below 0.5")
        for low, high in (
            ("least_difficulty", "most_difficulty"),
            ("depth_least_noise", "depth_most_noise"),
            ("fingers_shortest", "fingers_longest"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} must not be above {high}")
