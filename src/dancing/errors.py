"""Errors and warnings meant for people."""


class DancingError(Exception):
    """One line for a person: what was wrong, with which file, and what to do about it."""


class DancingWarning(UserWarning):
    """One line for a person: it went on, but this is worth knowing."""
