"""Videos and pose files to datasets."""
