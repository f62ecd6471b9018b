"""Flow matching in beat time, the default motion model."""
