"""The body: landmarks, poses over time, how it moves in the room, and other bodies."""
