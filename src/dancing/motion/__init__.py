"""Stage 1, music to poses: `Choreographer`, and a folder for each model family."""

FAMILIES = {"flow": "dancing.motion.flow", "lstm-vae": "dancing.motion.lstm_vae"}
DEFAULT_FAMILY = "flow"
