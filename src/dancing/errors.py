"""Errors and warnings meant for people."""


class DancingError(Exception):
    """One line for a person: what was wrong, with which file, and what to do about it."""


class DancingWarning(UserWarning):
    """One line for a person: it went on, but this is worth knowing."""


_EXTRA_OF = {
    "torch": "train",
    "lightning": "train",
    "onnx": "train",
    "safetensors": "train",
    "tensorboard": "train",
    "matplotlib": "plot",
    "gradio": "web",
}


def explained(error: DancingError | ModuleNotFoundError) -> DancingError:
    """The error as one for people: a missing library is an extra of this package to install.

    Raises:
        ModuleNotFoundError: the error itself, when the library is of no extra.
    """
    if isinstance(error, DancingError):
        return error
    extra = _EXTRA_OF.get((error.name or "").split(".")[0])
    if extra is None:
        raise error
    return DancingError(f"this needs {error.name}: pip install 'dancing[{extra}]'")
