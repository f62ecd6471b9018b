"""The studio's page: what is seen, and which call of the public API each button makes."""

from __future__ import annotations

import base64
import html
import random
import re
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import gradio as gr

from dancing import generate
from dancing.background import TRANSPARENT
from dancing.bundle import DEFAULT, Bundle, embedded
from dancing.dancer import STYLES
from dancing.errors import DancingError, explained
from dancing.files import example_song
from dancing.poses import SUFFIXES, PoseSequence
from dancing.studio.jobs import Job, Step, Workspace

if TYPE_CHECKING:
    from dancing.pipeline import Progress
    from dancing.studio.server import Limits

_Made = TypeVar("_Made")
PREVIEW = 15
"""Seconds that are danced unless more is asked for: seen soon, even on a small machine."""
_SEEDS = 10**6
_OWN, _COLOUR, _FILE, _NOTHING = "The dancer's own", "A colour", "A picture or video", "Transparent"

HEAD = '<meta name="viewport" content="width=device-width, initial-scale=1">'
CSS = """
.gradio-container { max-width: 1180px !important; margin: 0 auto !important; }
#title h1 { margin: 0.3em 0 0; font-size: 1.7rem; }
#title p { margin: 0.1em 0 0.4em; opacity: 0.75; }
.cards .wrap { display: grid; gap: 10px; grid-template-columns: repeat(auto-fill, minmax(112px, 1fr)); }
.cards label { flex-direction: column; align-items: center; justify-content: flex-end; gap: 6px;
  min-height: 150px; padding: 8px; position: relative; background-repeat: no-repeat;
  background-size: cover; background-position: center 20%; overflow: hidden; }
.cards label > span { margin: 0; padding: 1px 10px; border-radius: 99px; background: #000a;
  color: #fff; font-weight: 600; }
.cards label > input { position: absolute; top: 8px; left: 8px; }
.cards label.selected { outline: 3px solid var(--color-accent); outline-offset: -3px; }
.cards label:focus-within { box-shadow: 0 0 0 3px var(--color-accent-soft); }
.step { min-height: 3.4em; }
.step progress { width: 100%; height: 0.7em; accent-color: var(--color-accent); }
.step p { margin: 0.2em 0; }
#dice { min-width: 52px; max-width: 52px; align-self: flex-end; font-size: 1.3rem; }
video { max-height: 74vh; }
#seen img, #strip img { object-fit: contain; }
"""
# The buttons to go and to stop while nothing runs.
_IDLE = gr.update(interactive=True), gr.update(visible=False)
# Both dances from the start at once, the sound of one of them.
_PLAY_BOTH = """() => {
  const both = document.querySelectorAll('#compared video');
  both.forEach((video, number) => { video.currentTime = 0; video.muted = number > 0; video.play(); });
}"""


def theme() -> gr.themes.Base:
    """The page's look: fonts of the visitor's own machine, so that nothing is fetched."""
    return gr.themes.Soft(
        primary_hue="violet",
        font=["ui-sans-serif", "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )


def build(workspace: Workspace, limits: Limits, dancers: Sequence[str | Path] = ()) -> gr.Blocks:
    """The page.

    Args:
        workspace: where files lie.
        limits: how much visitors may ask for.
        dancers: bundles to offer beside the embedded ones.

    Raises:
        DancingError: when one of the bundles cannot be used.
    """
    return _Studio(workspace, limits, dancers).page()


class _Page(gr.Blocks):
    """Blocks whose inputs are what was uploaded, and nothing that is still to be fetched."""

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *more: Any, **named: Any) -> Any:
        if any(_is_link(value) for value in inputs):
            raise gr.Error("upload the file; links are not followed")
        return await super().preprocess_data(block_fn, inputs, *more, **named)


def _is_link(value: Any) -> bool:
    if isinstance(value, list):
        return any(_is_link(entry) for entry in value)
    if isinstance(value, dict):
        return "://" in str(value.get("path")) or any(_is_link(entry) for entry in value.values())
    return False


class _Studio:
    """The page's parts and what they call."""

    def __init__(self, workspace: Workspace, limits: Limits, dancers: Sequence[str | Path]) -> None:
        self._workspace = workspace
        self._limits = limits
        self._dancers: dict[str, str | Path] = {name: name for name in embedded()}
        for path in dancers:
            self._dancers[_unused(Bundle(path).name, self._dancers)] = Path(path).resolve()

    def page(self) -> gr.Blocks:
        """Build it."""
        gr.set_static_paths([example_song()])
        with _Page(title="Dancing", analytics_enabled=False) as page:
            # The dancers that this visitor has learned, by name; nobody else sees them.
            own = gr.State({})
            gr.Markdown("# Dancing\nA song goes in, a person dances out.", elem_id="title")
            looks = gr.HTML(self._pictures({}))
            with gr.Tab("Dance"):
                cards = [self._dance_tab(own)]
            with gr.Tab("Compare"):
                cards += self._compare_tab(own)
            with gr.Tab("Learn a dancer"):
                self._learn_tab(own, looks, cards)
        # Without the way around the queue that the framework offers by default.
        page.queue(default_concurrency_limit=self._limits.jobs, max_size=50, api_open=False)
        return page

    # Dance

    def _dance_tab(self, own: gr.State) -> gr.Radio:
        last = gr.State(None)
        with gr.Row():
            with gr.Column(scale=5, min_width=320):
                song, part = self._song_inputs()
                cards = self._cards("Dancer", DEFAULT)
                seed = self._seed("Seed: the same number, the same dance", 0, "dice")
                energy = gr.Slider(
                    0, 2, 1, step=0.1, label="Energy", info="1 is what the music asks for"
                )
                with gr.Accordion("Style and background", open=False):
                    style = gr.Radio(list(STYLES), value=STYLES[0], label="Style")
                    behind = gr.Radio(
                        [_OWN, _COLOUR, _FILE, _NOTHING], value=_OWN, label="Background"
                    )
                    colour = gr.ColorPicker("#00ff00", label="Colour", visible=False)
                    scene = gr.File(label="Picture or video", visible=False, height=110)
            with gr.Column(scale=4, min_width=320):
                with gr.Row():
                    go = gr.Button("Dance", variant="primary", size="lg", elem_id="go")
                    stop = gr.Button("Stop", size="lg", visible=False)
                step = gr.HTML(_say("Press Dance."), elem_classes="step")
                video = gr.Video(label="Dance", interactive=False, autoplay=True, elem_id="video")
                files = gr.File(
                    label="Download", file_count="multiple", interactive=False, visible=False
                )
                skeleton = gr.Button("Make a skeleton video too", visible=False)
        behind.change(
            lambda chosen: (gr.update(visible=chosen == _COLOUR), gr.update(visible=chosen == _FILE)),
            behind, [colour, scene], queue=False, api_visibility="private",
        )  # fmt: skip
        dancing = go.click(
            self._dance,
            [own, song, *part, cards, seed, energy, style, behind, colour, scene],
            [video, files, step, last, go, stop, skeleton],
            api_name="dance", concurrency_id="dances", show_progress_on=step,
            concurrency_limit=self._limits.jobs,
        )  # fmt: skip
        drawing = skeleton.click(
            self._skeleton, last, [files, step, go, stop, skeleton],
            concurrency_id="dances", show_progress_on=step, api_visibility="private",
        )  # fmt: skip
        self._stops(stop, [dancing, drawing], [step, go, stop])
        return cards

    def _dance(
        self,
        own: dict[str, Path],
        song: str | None,
        start: float,
        length: float,
        whole: bool,
        dancer: str,
        seed: float,
        energy: float,
        style: str,
        behind: str,
        colour: str,
        scene: str | None,
    ) -> Iterator[tuple[Any, ...]]:
        """Make a dance video.

        Returns the video, the files to download (video and poses), and a line about them.
        """

        def work(tell: Progress) -> dict[str, Any]:
            with self._workspace.folder() as folder:
                wishes = {
                    "song": _brought(song, folder, "song"),
                    "dancer": self._bundle(own, dancer),
                    "seed": _whole_number(seed),
                    "energy": energy,
                    "start": start,
                    "duration": self._duration(length, whole),
                }
                background = _background(behind, colour, _brought(scene, folder, "scene"))
                video = folder / f"dance{'.webm' if background == TRANSPARENT else '.mp4'}"
                poses = video.with_suffix(SUFFIXES[0])
                generate(
                    output=video, style=style, background=background, poses=poses, progress=tell,
                    **wishes,
                )  # fmt: skip
                sequence = PoseSequence.load(poses)
                written = [poses.with_suffix(suffix) for suffix in SUFFIXES]
                for path in written[1:]:
                    sequence.save(path)
                return {"files": [video, *written], "wishes": wishes, "seconds": sequence.duration}

        def during(line: str, *buttons: Any) -> tuple[Any, ...]:
            return gr.skip(), gr.skip(), line, gr.skip(), *buttons, gr.update(visible=False)

        made, notes = yield from _follow(work, during, {"song": song, "scene": scene})
        if whole and made["seconds"] >= self._limits.seconds:
            notes.append(f"this server's dances end after {self._limits.seconds} s")
        done = f"{dancer} dances {made['seconds']:.0f} s, seed {made['wishes']['seed']}."
        files = gr.update(value=list(map(str, made["files"])), visible=True)
        line = _say(done, notes)
        yield str(made["files"][0]), files, line, made, *_IDLE, gr.update(visible=True)

    def _skeleton(self, last: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
        folder = last["files"][0].parent

        def work(tell: Progress) -> Path:
            if not folder.is_dir():
                raise DancingError("this dance is no longer on the server; make it again")
            path = folder / "skeleton.mp4"
            return generate(output=path, style="skeleton", progress=tell, **last["wishes"])

        def during(line: str, *buttons: Any) -> tuple[Any, ...]:
            return gr.skip(), line, *buttons, gr.skip()

        path, _ = yield from _follow(work, during, {})
        line = _say("The skeleton video is among the downloads.")
        yield list(map(str, [*last["files"], path])), line, *_IDLE, gr.update(visible=False)

    # Compare

    def _compare_tab(self, own: gr.State) -> list[gr.Radio]:
        song, part = self._song_inputs()
        cards, seeds, videos = [], [], []
        with gr.Row(elem_id="compared"):
            for number, side in enumerate(("Left", "Right")):
                with gr.Column(min_width=300):
                    cards.append(self._cards(f"{side} dancer", DEFAULT))
                    seeds.append(self._seed(f"{side} seed", number, None))
                    videos.append(gr.Video(label=side, interactive=False))
        with gr.Row():
            go = gr.Button("Compare", variant="primary", size="lg")
            stop = gr.Button("Stop", size="lg", visible=False)
            both = gr.Button("Play both", size="lg", visible=False)
        step = gr.HTML(_say("One song, two dances."), elem_classes="step")
        comparing = go.click(
            self._compare,
            [own, song, *part, cards[0], seeds[0], cards[1], seeds[1]],
            [*videos, step, go, stop, both],
            api_name="compare", concurrency_id="dances", show_progress_on=step,
        )  # fmt: skip
        both.click(None, js=_PLAY_BOTH, api_visibility="private")
        self._stops(stop, [comparing], [step, go, stop])
        return cards

    def _compare(
        self,
        own: dict[str, Path],
        song: str | None,
        start: float,
        length: float,
        whole: bool,
        left_dancer: str,
        left_seed: float,
        right_dancer: str,
        right_seed: float,
    ) -> Iterator[tuple[Any, ...]]:
        """Make two dances to one song.

        Returns both videos and a line about them.
        """

        def work(tell: Progress) -> list[Path]:
            with self._workspace.folder() as folder:
                heard = _brought(song, folder, "song")
                return [
                    generate(
                        heard,
                        folder / f"{side}.mp4",
                        dancer=self._bundle(own, dancer),
                        seed=_whole_number(seed),
                        start=start,
                        duration=self._duration(length, whole),
                        progress=lambda stage, *count, side=side: tell(f"{side}: {stage}", *count),
                    )
                    for side, dancer, seed in (
                        ("left", left_dancer, left_seed),
                        ("right", right_dancer, right_seed),
                    )
                ]

        def during(line: str, *buttons: Any) -> tuple[Any, ...]:
            return gr.skip(), gr.skip(), line, *buttons, gr.skip()

        videos, notes = yield from _follow(work, during, {"song": song})
        line = _say("Play both to see them beside each other.", notes)
        yield *map(str, videos), line, *_IDLE, gr.update(visible=True)

    # Learn

    def _learn_tab(self, own: gr.State, looks: gr.HTML, cards: list[gr.Radio]) -> None:
        gr.Markdown("Coming.")

    # Shared

    def _song_inputs(self) -> tuple[gr.File, list[Any]]:
        """The song, and which part of it."""
        with gr.Row():
            song = gr.File(
                str(example_song()), label="Song: any audio or video file", height=110, scale=3
            )
            with gr.Column(min_width=130):
                example = gr.Button("Take the example", size="sm")
                record = gr.Button("Record", size="sm")
        recorder = gr.Audio(
            sources=["microphone"], type="filepath", label="Record a song", visible=False
        )
        with gr.Row():
            start = gr.Number(0, label="Start, in seconds", minimum=0, min_width=100)
            length = gr.Number(
                PREVIEW, label="Length, in seconds", minimum=1, maximum=self._limits.seconds,
                min_width=100,
            )  # fmt: skip
            whole = gr.Checkbox(
                False, label="To its end", info=f"at most {self._limits.seconds} s", min_width=120
            )
        example.click(
            lambda: str(example_song()), None, song, queue=False, api_visibility="private"
        )
        record.click(
            lambda: gr.update(visible=True), None, recorder, queue=False, api_visibility="private"
        )
        recorder.stop_recording(
            lambda path: path, recorder, song, queue=False, api_visibility="private"
        )
        return song, [start, length, whole]

    def _cards(self, label: str, value: str) -> gr.Radio:
        return gr.Radio(list(self._dancers), value=value, label=label, elem_classes="cards")

    def _seed(self, label: str, value: int, dice_id: str | None) -> gr.Number:
        with gr.Row():
            seed = gr.Number(value, label=label, minimum=0, precision=0, min_width=120)
            dice = gr.Button("🎲", elem_id=dice_id, scale=0, min_width=56)
        dice.click(
            lambda: random.randrange(_SEEDS), None, seed, queue=False, api_visibility="private"
        )
        return seed

    def _stops(self, button: gr.Button, events: list[Any], outputs: list[Any]) -> None:
        """Let a button stop events."""
        button.click(
            lambda: (_say("Stopped."), *_IDLE), None, outputs, cancels=events, queue=False,
            api_visibility="private",
        )  # fmt: skip

    def _bundle(self, own: dict[str, Path], name: str) -> str | Path:
        """A dancer by the name on the card: never by a path that a visitor gives."""
        known = self._dancers | own
        if name not in known:
            raise DancingError(f"no dancer '{name}'; there are {', '.join(known)}")
        return known[name]

    def _duration(self, length: float, whole: bool) -> float:
        if not whole and length > self._limits.seconds:
            raise DancingError(f"a dance may last {self._limits.seconds} s at most")
        return float(self._limits.seconds if whole else length)

    def _pictures(self, own: dict[str, Path]) -> str:
        """Style rules that put the dancers' pictures on their cards."""
        rules = []
        for name, path in (self._dancers | own).items():
            picture = Bundle(path).preview()
            if picture is not None:
                data = base64.b64encode(picture).decode()
                rules.append(
                    f'.cards label[data-testid="{name}-radio-label"] '
                    f"{{ background-image: url(data:image/png;base64,{data}); }}"
                )
        return f"<style>{''.join(rules)}</style>"


def _follow(
    work: Callable[[Progress], _Made],
    during: Callable[..., tuple[Any, ...]],
    brought: dict[str, str | None],
) -> Generator[tuple[Any, ...], None, tuple[_Made, list[str]]]:
    """Do work while the page shows how far it is; give it up when the visitor leaves.

    Args:
        work: to be done.
        during: outputs of an event, of a line to show and the buttons to go and to stop.
        brought: what the visitor's files are called in the job's folder, and their paths.

    Returns:
        What the work returned, and its notes.

    Raises:
        gr.Error: with the line that the command line would print, files named as they came.
    """
    with Job(work) as job:
        for step in job.steps():
            yield during(_show(step), gr.update(interactive=False), gr.update(visible=True))
        try:
            return job.made(), job.notes
        except (DancingError, ModuleNotFoundError) as error:
            message = _without_paths(str(explained(error)), brought)
    # The line stays in the page, the box that the framework makes of the error soon goes.
    yield during(_say(message), *_IDLE)
    raise gr.Error(message, print_exception=False, title="That did not work")


def _without_paths(message: str, brought: dict[str, str | None]) -> str:
    """The message with a visitor's files named as they came, and without the server's folders."""
    for name, path in brought.items():
        if path is not None:
            message = re.sub(rf"\S*/{name}(?=:)", lambda _, path=path: Path(path).name, message)
    return message


def _unused(name: str, taken: Any) -> str:
    """A name for a card that no other card has, fit for a style rule."""
    name = re.sub(r"[^\w -]", "", name) or "dancer"
    number, unused = 1, name
    while unused in taken:
        number += 1
        unused = f"{name} {number}"
    return unused


def _brought(path: str | None, folder: Path, name: str) -> Path | None:
    """A visitor's file in the job's own folder, where it stays as long as it is needed."""
    return None if path is None else Path(shutil.copyfile(path, folder / name))


def _background(behind: str, colour: str, scene: Path | None) -> str | Path | None:
    if behind == _FILE and scene is None:
        raise DancingError("the background needs a picture or a video")
    return {_OWN: None, _COLOUR: _hex(colour), _FILE: scene, _NOTHING: TRANSPARENT}[behind]


def _hex(colour: str) -> str:
    """#rrggbb of what the colour picker gives: that, or 'rgba(r, g, b, a)'."""
    if re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
        return colour
    channels = re.findall(r"[\d.]+", colour)[:3]
    if not colour.startswith("rgb") or len(channels) < 3:
        raise DancingError(f"'{colour}' is no colour")
    return "#" + "".join(f"{min(255, round(float(channel))):02x}" for channel in channels)


def _whole_number(seed: float) -> int:
    if seed is None or seed < 0 or seed != int(seed):
        raise DancingError("a seed is a whole number from 0 up")
    return int(seed)


def _show(step: Step) -> str:
    """A progress bar and how long it still takes."""
    text = step.stage.capitalize()
    bar = "<progress></progress>"
    if step.total and step.total > 1:
        text += f", {step.done} of {step.total}"
        bar = f'<progress max="{step.total}" value="{step.done}"></progress>'
    if step.left is not None and step.left >= 1:
        minutes, seconds = divmod(round(step.left), 60)
        text += f", {f'{minutes} min ' if minutes else ''}{seconds} s left"
    return f"<p>{html.escape(text)}</p>{bar}"


def _say(text: str, notes: Sequence[str] = ()) -> str:
    lines = [text, *(f"Note: {note}" for note in notes)]
    return '<div role="status">' + "".join(f"<p>{html.escape(line)}</p>" for line in lines) + "</div>"
