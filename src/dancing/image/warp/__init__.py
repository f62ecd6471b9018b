"""The image model of photos: pictures of the person, cut out and deformed to the pose."""
