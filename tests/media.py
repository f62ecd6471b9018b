"""Media files that tests make: sounds, songs, pictures."""
