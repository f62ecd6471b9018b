"""Work that the page shows: how far it is, its notes, and its errors, as lines for the visitor."""

from __future__ import annotations

import html
import re
import threading
import traceback
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

import gradio as gr

from dancing.errors import DancingError, explained
from dancing.listener import Listener
from dancing.studio.jobs import Job, Step

_Made = TypeVar("_Made")
# The buttons to go and to stop while nothing runs.
IDLE = gr.update(interactive=True), gr.update(visible=False)


def follow(
    work: Callable[[Listener], _Made],
    during: Callable[..., tuple[Any, ...]],
    names: dict[str, str],
    ending: threading.Event | None = None,
) -> Generator[tuple[Any, ...], None, tuple[_Made, list[str]]]:
    """Do work while the page shows how far it is; give it up when the visitor leaves.

    Args:
        work: to be done.
        during: outputs of an event, of a line to show and the buttons to go and to stop.
        names: those of the visitor's files by what they are called in the job's folder.
        ending: set when the work is to come to its end early.

    Returns:
        What the work returned, and its notes.

    Raises:
        gr.Error: with the line that the command line would print, files named as they came.
    """
    with Job(work, ending) as job:
        for step in job.steps():
            yield during(_show(step, names), gr.update(interactive=False), gr.update(visible=True))
        try:
            return job.made(), [as_named(note, names) for note in job.notes]
        except Exception as error:
            message = as_named(_line(error), names)
    # The line stays in the page, the box that the framework makes of the error soon goes.
    yield during(say(message), *IDLE)
    raise gr.Error(message, print_exception=False, title="That did not work")


def _line(error: Exception) -> str:
    """What the command line would say of an error; nothing of what is not meant for people."""
    try:
        if isinstance(error, DancingError | ModuleNotFoundError):
            return str(explained(error))
    except ModuleNotFoundError:
        pass
    traceback.print_exception(error)
    return "something went wrong on the server; its log tells more"


def as_named(text: str, names: dict[str, str]) -> str:
    """The text with the visitor's files named as they came, and without the server's folders."""
    for here, name in names.items():
        text = re.sub(rf"(\S*/)?{re.escape(here)}", name.replace("\\", ""), text)
    return text


def _show(step: Step, names: dict[str, str]) -> str:
    """A progress bar and how long it still takes."""
    text = as_named(step.stage, names)
    if text == step.stage:
        text = text.capitalize()
    if step.total and step.total > 1:
        text += f", {step.done} of {step.total}"
    if step.left is not None and step.left >= 1:
        minutes, seconds = divmod(round(step.left), 60)
        text += f", {f'{minutes} min ' if minutes else ''}{seconds} s left"
    bar = f'<progress max="{step.total or 1}" value="{step.done if step.total else 0}"></progress>'
    return f"<p>{html.escape(text)}</p>{bar}"


def say(text: str, notes: Sequence[str] = ()) -> str:
    lines = [text, *(f"Note: {note}" for note in notes)]
    return (
        '<div role="status">' + "".join(f"<p>{html.escape(line)}</p>" for line in lines) + "</div>"
    )
