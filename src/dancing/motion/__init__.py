"""Stage 1, music to poses: one file a model family, training data, trainer."""

FAMILIES = {"flow": "dancing.motion.flow", "lstm-vae": "dancing.motion.lstm_vae"}
DEFAULT_FAMILY = "flow"
