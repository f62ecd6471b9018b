"""The studio's page: what is seen, and which call of the public API each button makes."""

from __future__ import annotations

import base64
import os
import random
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from dancing.body.pose_files import SUFFIXES
from dancing.body.poses import PoseSequence
from dancing.bundle import DEFAULT, Bundle, embedded
from dancing.errors import DancingError
from dancing.files import example_song
from dancing.image.background import TRANSPARENT
from dancing.image.dancer import STYLES
from dancing.image.warp.photo import AGREEMENT, is_photo, seen_in
from dancing.listener import Listener, Renamed
from dancing.media.picture import read_picture
from dancing.media.video import encode_png, fitting_width, resize
from dancing.motion.choreographer import AUTO, genres_of
from dancing.pipeline import generate
from dancing.studio.inputs import (
    LONGEST_NAME,
    brought,
    given,
    hex_colour,
    permitted,
    some,
    unused,
)
from dancing.studio.jobs import Workspace
from dancing.studio.style import PLAY_BOTH
from dancing.studio.work import IDLE, as_named, follow, say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dancing.learn import Learned
    from dancing.studio.limits import Limits

    # A picture with what is found in it, and a line below.
    _Sighting = tuple[NDArray[np.uint8], str]


PREVIEW = 15
"""Seconds that are danced unless more is asked for: seen soon, even on a small machine."""
_TRIAL = 5  # seconds that a dancer is tried for when it was learned
_SEEDS = 10**6
_CARD = 320  # pixels of height of a dancer's picture on its card
_SESSIONS = 1000  # visits that are remembered, each some 150 kB
_OWN, _COLOUR, _FILE, _NOTHING = "The dancer's own", "A colour", "A picture or video", "Transparent"


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
    """Blocks whose inputs are what was uploaded, and nothing else on this server or another.

    Attributes:
        folder: what visitors upload lies in it.
        offered: a file that they may name as well.
    """

    folder: Path
    offered: Path

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], *more: Any, **named: Any
    ) -> Any:
        try:
            self._check(inputs)
            return await super().preprocess_data(block_fn, inputs, *more, **named)
        except gr.Error as error:
            error.print_exception = False
            raise
        except ValueError as error:
            raise gr.Error(
                "one of the values is of the wrong kind; the page's API tells what they may be",
                print_exception=False,
            ) from error

    def _check(self, inputs: list[Any]) -> None:
        """Refuse files that were not uploaded, or are no longer there."""
        for path in _paths(inputs):
            if "://" in str(path):
                raise gr.Error("upload the file; links are not followed")
            real = Path(os.path.realpath(path))
            if not real.is_relative_to(self.folder) and real != self.offered:
                raise gr.Error("upload the file; no other can be used")
            if not real.is_file():
                raise gr.Error("the file is no longer on the server; upload it again")

    def waited_for(self) -> set[Path]:
        """The files that calls in the queue, or just out of it, refer to."""
        lines = [each.queue for each in [*self._queue.event_queue_per_concurrency_id.values()]]
        active = [events for events in [*self._queue.active_jobs] if events]
        found: set[Path] = set()
        for event in (event for line in (*lines, *active) for event in [*line]):
            session = self.state_holder.session_data.get(event.session_hash)
            states = [*session.state_data.values()] if session is not None else []
            sent = event.data.data if event.data is not None else []
            found |= {Path(os.path.realpath(path)) for path in _paths([*sent, *states])}
        return found


def _paths(value: Any) -> Iterator[Any]:
    """The paths of files in what a visitor sends, or a page remembers."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, list):
        for entry in value:
            yield from _paths(entry)
    elif isinstance(value, dict):
        if value.get("path") is not None:
            yield str(value["path"]).replace("\0", "")
        for entry in value.values():
            yield from _paths(entry)


class _Studio:
    """The page's parts and what they call."""

    def __init__(self, workspace: Workspace, limits: Limits, dancers: Sequence[str | Path]) -> None:
        self._workspace = workspace
        self._limits = limits
        # A copy, so that no page tells where the package is installed.
        self._example = str(shutil.copy(example_song(), workspace.root))
        self._radios: list[gr.Radio] = []
        self._dancers: dict[str, str | Path] = {name: name for name in embedded()}
        for path in dancers:
            self._dancers[unused(Bundle(path).name, self._dancers)] = Path(path).resolve()

    def page(self) -> gr.Blocks:
        """Build it."""
        gr.set_static_paths([self._example])
        with _Page(title="Dancing", analytics_enabled=False) as page:
            page.folder, page.offered = self._workspace.cache, Path(self._example).resolve()
            self._workspace.waited_for = page.waited_for
            # The dancers that this visitor has learned, by name; nobody else sees them.
            own = gr.State({})
            gr.Markdown("# Dancing\nA song goes in, a person dances out.", elem_id="title")
            looks = gr.HTML(self._pictures({}), elem_id="looks")
            with gr.Tab("Dance"):
                self._dance_tab(own)
            with gr.Tab("Compare"):
                self._compare_tab(own)
            with gr.Tab("Learn"):
                self._learn_tab(own, looks)
        page.state_session_capacity = _SESSIONS
        # Without the way around the queue that the framework offers by default.
        page.queue(default_concurrency_limit=self._limits.jobs, max_size=50, api_open=False)
        return page

    # Dance

    def _dance_tab(self, own: gr.State) -> None:
        last = gr.State(None)
        with gr.Row():
            with gr.Column(scale=5, min_width=320):
                song, part = self._song_inputs("song")
                cards = self._cards("Dancer", DEFAULT)
                seed = self._seed("Seed: the same number, the same dance", 0)
                energy = gr.Slider(
                    0, 2, 1, step=0.1, label="Energy", info="1 is what the music asks for"
                )
                genre = gr.Dropdown(
                    [AUTO, *genres_of(Bundle(DEFAULT))], value=AUTO, label="Genre",
                    info="auto is what the song asks for",
                )  # fmt: skip
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
                    stop = gr.Button("Stop", size="lg", visible=False, min_width=120)
                step = gr.HTML(say("Press Dance."), label="state", elem_classes="step")
                video = gr.Video(
                    label="Dance",
                    show_label=False,
                    interactive=False,
                    autoplay=True,
                    elem_id="video",
                )
                with gr.Column(visible=False) as results:
                    files = gr.File(
                        label="Download", file_count="multiple", interactive=False,
                        elem_classes="downloads",
                    )  # fmt: skip
                    skeleton = gr.Button("Make a skeleton video too")
        behind.change(
            lambda chosen: [gr.update(visible=chosen == kind) for kind in (_COLOUR, _FILE)],
            behind, [colour, scene], queue=False, api_visibility="private",
        )  # fmt: skip
        dancing = go.click(
            self._dance,
            [own, song, *part, cards, seed, energy, genre, style, behind, colour, scene],
            [video, files, step, last, go, stop, results, skeleton],
            api_name="dance", concurrency_id="dances", show_progress_on=step,
            concurrency_limit=self._limits.jobs,
        )  # fmt: skip
        drawing = skeleton.click(
            self._skeleton, last, [files, step, go, stop, skeleton],
            concurrency_id="dances", show_progress_on=step, api_visibility="private",
        )  # fmt: skip
        self._stops(stop, [dancing, drawing], [step, go, stop])

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
        genre: str,
        style: str,
        behind: str,
        colour: str,
        scene: str | None,
    ) -> Iterator[tuple[Any, ...]]:
        """Make a dance video.

        Returns the video, the files to download (video and poses), and a line about them.
        """

        names: dict[str, str] = {}

        def work(listener: Listener) -> dict[str, Any]:
            with self._workspace.folder() as folder:
                wishes: dict[str, Any] = {
                    "song": brought(song, folder, names),
                    "dancer": self._bundle(own, dancer),
                    "seed": int(given(seed, "seed")),
                    "energy": energy,
                    "genre": genre,
                    "start": given(start, "start"),
                    "duration": self._duration(length, whole),
                }
                background = {
                    _OWN: lambda: None,
                    _COLOUR: lambda: hex_colour(colour),
                    _FILE: lambda: brought(scene, folder, names),
                    _NOTHING: lambda: TRANSPARENT,
                }[behind]()
                video = folder / f"dance{'.webm' if background == TRANSPARENT else '.mp4'}"
                poses = video.with_suffix(SUFFIXES[0])
                generate(
                    output=video, style=style, background=background, poses=poses,
                    listener=listener, **wishes,
                )  # fmt: skip
                sequence = PoseSequence.load(poses)
                written = [poses.with_suffix(suffix) for suffix in SUFFIXES]
                for path in written[1:]:
                    sequence.save(path)
                return {"files": [video, *written], "wishes": wishes, "seconds": sequence.duration}

        def during(line: str, *buttons: Any) -> tuple[Any, ...]:
            return gr.skip(), gr.skip(), line, gr.skip(), *buttons, gr.skip(), gr.skip()

        made, notes = yield from follow(work, during, names)
        if whole and made["seconds"] >= self._limits.seconds:
            notes.append(f"this server's dances end after {self._limits.seconds} s")
        done = f"{dancer} dances {made['seconds']:.0f} s, seed {made['wishes']['seed']}."
        files = list(map(str, made["files"]))
        shown = gr.update(visible=True)
        yield files[0], files, say(done, notes), made, *IDLE, shown, shown

    def _skeleton(self, last: dict[str, Any] | None) -> Iterator[tuple[Any, ...]]:
        if last is None:
            raise gr.Error("make a dance first", print_exception=False)
        folder = last["files"][0].parent

        def work(listener: Listener) -> Path:
            if not folder.is_dir():
                raise DancingError("this dance is no longer on the server; make it again")
            path = folder / "skeleton.mp4"
            return generate(output=path, style="skeleton", listener=listener, **last["wishes"])

        def during(line: str, *buttons: Any) -> tuple[Any, ...]:
            return gr.skip(), line, *buttons, gr.skip()

        path, _ = yield from follow(work, during, {})
        line = say("The skeleton video is among the downloads.")
        yield list(map(str, [*last["files"], path])), line, *IDLE, gr.update(visible=False)

    # Compare

    def _compare_tab(self, own: gr.State) -> None:
        song, part = self._song_inputs("compared-song")
        cards, seeds, videos = [], [], []
        with gr.Row():
            for number, side in enumerate(("Left", "Right")):
                with gr.Column(min_width=300):
                    cards.append(self._cards(f"{side} dancer", DEFAULT))
                    seeds.append(self._seed(f"{side} seed", number))
        with gr.Row():
            go = gr.Button("Compare", variant="primary", size="lg", min_width=120)
            stop = gr.Button("Stop", size="lg", visible=False, min_width=120)
            both = gr.Button("Play both", size="lg", visible=False, min_width=120)
        step = gr.HTML(say("One song, two dances."), label="state", elem_classes="step")
        with gr.Row(elem_id="compared"):
            for side in ("Left", "Right"):
                videos.append(gr.Video(label=side, show_label=False, interactive=False))
        comparing = go.click(
            self._compare,
            [own, song, *part, cards[0], seeds[0], cards[1], seeds[1]],
            [*videos, step, go, stop, both],
            api_name="compare", concurrency_id="dances", show_progress_on=step,
        )  # fmt: skip
        both.click(None, js=PLAY_BOTH, api_visibility="private")
        self._stops(stop, [comparing], [step, go, stop])

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

        names: dict[str, str] = {}

        def work(listener: Listener) -> list[Path]:
            with self._workspace.folder() as folder:
                heard = brought(song, folder, names)
                return [
                    generate(
                        heard,
                        folder / f"{side}.mp4",
                        dancer=self._bundle(own, dancer),
                        seed=int(given(seed, "seed")),
                        start=given(start, "start"),
                        duration=self._duration(length, whole),
                        listener=Renamed(listener, f"{side}: {{}}".format),
                    )
                    for side, dancer, seed in (
                        ("left", left_dancer, left_seed),
                        ("right", right_dancer, right_seed),
                    )
                ]

        def during(line: str, *buttons: Any) -> tuple[Any, ...]:
            return gr.skip(), gr.skip(), line, *buttons, gr.skip()

        videos, notes = yield from follow(work, during, names)
        line = say("Play both to see them beside each other.", notes)
        yield *map(str, videos), line, *IDLE, gr.update(visible=True)

    # Learn

    def _learn_tab(self, own: gr.State, looks: gr.HTML) -> None:
        ending = gr.State(None)
        with gr.Row():
            with gr.Column(scale=5, min_width=320):
                gr.Markdown(
                    "**A photo** becomes a dancer within a minute: one person who stands and faces "
                    "the camera, from head to foot, arms a little away from the body, nothing in "
                    "front. More photos of the person in the same clothes may be added.\n\n"
                    "**A video** takes a minute or two: the same, with room around. Each part of "
                    "the body is taken from the moment that shows it best.\n\n"
                    "Keep this page open while it learns."
                )
                inputs = gr.File(
                    label="Photos, or videos", file_count="multiple", height=140, elem_id="inputs"
                )
                look = gr.Button("See who is found")
                with gr.Column(visible=False) as sights:
                    seen = gr.Gallery(
                        label="What the pose estimator finds", show_label=False, elem_id="seen",
                        height="auto", object_fit="contain",
                    )  # fmt: skip
                agreed = gr.Checkbox(
                    False, label="The person shown agrees to be made a dancer", elem_id="agreed",
                    info="The dancer's file holds pictures of the person: whoever has it has them.",
                )  # fmt: skip
                name = gr.Textbox("me", label="The dancer's name", max_length=LONGEST_NAME)
                with gr.Accordion("For videos", open=False):
                    minutes = gr.Slider(
                        2, self._limits.minutes, min(18, self._limits.minutes), step=1,
                        label="Minutes", info="to learn the way to dance in, at most",
                    )  # fmt: skip
                    moves = gr.Checkbox(
                        False, label="Learn the way to dance too",
                        info="needs videos with their music",
                    )  # fmt: skip
            with gr.Column(scale=4, min_width=320):
                with gr.Row():
                    go = gr.Button(
                        "Learn", variant="primary", size="lg", elem_id="learn", min_width=120
                    )
                    end = gr.Button("Stop, and keep it", size="lg", visible=False, min_width=120)
                    stop = gr.Button("Give up", size="lg", visible=False, min_width=120)
                step = gr.HTML(
                    say("Choose a photo, tick that the person agrees, and press Learn."),
                    label="state", elem_classes="step",
                )  # fmt: skip
                strip = gr.Image(
                    label="The dancer", show_label=False, elem_id="strip", interactive=False,
                    buttons=["fullscreen"],
                )  # fmt: skip
                with gr.Column(visible=False) as results:
                    bundle = gr.File(
                        label="The dancer, to keep", interactive=False, elem_classes="downloads"
                    )
                    trying = gr.HTML(label="trial", elem_classes="step")
                    trial = gr.Video(
                        show_label=False, interactive=False, autoplay=True, visible=False,
                        elem_id="trial",
                    )  # fmt: skip
                    with gr.Column(visible=False) as scored:
                        report = gr.Code(label="How well", interactive=False)
        inputs.clear(
            lambda: (False, gr.update(visible=False)), None, [agreed, sights], queue=False,
            api_visibility="private",
        )  # fmt: skip
        looking = look.click(
            self._look, inputs, [seen, sights, step, look, stop],
            concurrency_id="learning", concurrency_limit=1, show_progress_on=step,
            api_visibility="private",
        )  # fmt: skip
        # Not in line for the learner: nobody is to wait there for what can be told at once.
        asking = go.click(
            self._ask, [inputs, agreed], step, concurrency_limit=None, show_progress="hidden",
            api_visibility="private",
        )  # fmt: skip
        learning = asking.success(
            self._learn,
            [own, inputs, agreed, name, minutes, moves],
            [
                strip, bundle, report, step, seen, sights, scored, results, go, stop, end, ending,
                own,
            ],
            api_name="learn", concurrency_id="learning", concurrency_limit=1,
            show_progress_on=step,
        )  # fmt: skip
        learning.success(
            lambda own: (
                self._pictures(own),
                *(gr.update(choices=list(self._dancers | own)) for _ in self._radios),
            ),
            own, [looks, *self._radios], queue=False, api_visibility="private",
        )  # fmt: skip
        dancing = learning.success(
            self._try, own, [trial, trying],
            concurrency_id="dances", show_progress_on=trying, api_visibility="private",
        )  # fmt: skip
        asking.success(
            lambda: gr.update(visible=False), None, results, cancels=[dancing], queue=False,
            api_visibility="private",
        )  # fmt: skip
        end.click(
            lambda ending: ending and ending.set(), ending, None, queue=False,
            api_visibility="private",
        )  # fmt: skip
        self._stops(stop, [looking], [step, look, stop])
        self._stops(stop, [learning], [step, go, stop])

    def _look(self, inputs: list[str] | None) -> Iterator[tuple[Any, ...]]:
        names: dict[str, str] = {}

        def work(listener: Listener) -> list[_Sighting]:
            from dancing.inspection import sightings

            with self._workspace.folder() as folder:
                copies = [brought(path, folder, names) for path in some(inputs)]
                found: list[_Sighting] = []
                for sighting, notes in _people(copies, names, listener):
                    found.append(sighting)
                    for note in notes:
                        listener.note(note)
                videos = [path for path in copies if not is_photo(path)]
                for number, path in enumerate(videos, 1):
                    for seconds, picture, people in sightings(path):
                        who = {0: "nobody", 1: "one person"}.get(people, f"{people} people")
                        found.append((picture, f"{seconds:.0f} s: {who}"))
                        listener.progress(f"looking at video {number}", len(found), None)
            return found

        def during(line: str, *buttons: Any) -> tuple[Any, ...]:
            return gr.skip(), gr.skip(), line, *buttons

        found, notes = yield from follow(work, during, names)
        line = "Is it the right person? If not, choose another photo or video."
        yield found, gr.update(visible=True), say(line, notes), *IDLE

    def _ask(self, inputs: list[str] | None, agreed: bool) -> Iterator[Any]:
        try:
            some(inputs)
            permitted(agreed)
        except DancingError as error:
            yield say(str(error))
            raise gr.Error(str(error), print_exception=False, title="That did not work") from error
        yield gr.skip()

    def _learn(
        self,
        own: dict[str, Path],
        inputs: list[str] | None,
        agreed: bool,
        name: str,
        minutes: float,
        moves: bool,
    ) -> Iterator[tuple[Any, ...]]:
        """Learn a dancer from photos or videos of a person who agrees to it.

        Returns a picture of the dancer, the dancer bundle, how well it draws what was held out of
        videos, a line, and the photos with who was found in them.
        """
        names: dict[str, str] = {}
        name = unused((name or "")[:LONGEST_NAME], self._dancers | own)
        ending = threading.Event()
        outputs: list[Path] = []
        found: list[_Sighting] = []

        def work(listener: Listener) -> Learned:
            permitted(agreed)
            with self._workspace.folder() as folder:
                copies = [brought(path, folder, names) for path in some(inputs)]
                from dancing.learn import learn

                found.extend(sighting for sighting, _ in _people(copies, names, listener))
                outputs.append(folder / f"{name}.zip")
                return learn(
                    copies,
                    outputs[0],
                    minutes=min(minutes, self._limits.minutes),
                    moves=moves,
                    listener=listener,
                )

        shown: list[Any] = []

        def new(what: Any) -> bool:
            """Whether there is something that was not shown yet."""
            if not what or what in shown:
                return False
            shown.append(what)
            return True

        def opened() -> Any:
            return gr.update(visible=True) if found else gr.skip()

        def during(line: str, *buttons: Any) -> tuple[Any, ...]:
            last = _previews(outputs)[-1:]
            strip = str(last[0]) if new(last) else gr.skip()
            pictures = [*found] if new(len(found)) else gr.skip()
            hidden = gr.update(visible=False)
            return (
                strip, gr.skip(), gr.skip(), line, pictures, opened(),
                hidden, hidden, *buttons, gr.update(visible=bool(last)), ending, gr.skip(),
            )  # fmt: skip

        learned, notes = yield from follow(work, during, names, ending)
        notes = [note for note in notes if note != AGREEMENT]  # the page has asked for it
        notes += [as_named(note, names) for note in learned.notes]
        scores = "" if learned.report is None else "\n".join(learned.report.text())
        line = say(f"{name} is now among the dancers. Download the bundle to keep it.", notes)
        yield (
            _preview(learned.bundle), str(learned.bundle), scores, line, found or gr.skip(),
            opened(), gr.update(visible=bool(scores)), gr.update(visible=True),
            *IDLE, gr.update(visible=False), None, own | {name: learned.bundle},
        )  # fmt: skip

    def _try(self, own: dict[str, Path]) -> Iterator[tuple[Any, ...]]:
        """Let the dancer that was learned last dance to the example."""
        name = [*own][-1]

        def work(listener: Listener) -> Path:
            with self._workspace.folder() as folder:
                return generate(
                    self._example, folder / "dance.mp4", dancer=self._bundle(own, name),
                    duration=min(_TRIAL, self._limits.seconds),
                    listener=Renamed(listener, lambda _: f"{name} tries to dance"),
                )  # fmt: skip

        def during(line: str, *_: Any) -> tuple[Any, ...]:
            return gr.update(visible=False), line

        video, _ = yield from follow(work, during, {})
        line = say(f"To dance to other songs, choose {name} under Dance.")
        yield gr.update(value=str(video), visible=True), line

    # Shared

    def _song_inputs(self, song_id: str) -> tuple[gr.File, list[Any]]:
        """The song, and which part of it."""
        song = gr.File(
            self._example, label="Song: any audio or video file", height=120, elem_id=song_id
        )
        with gr.Row():
            example = gr.Button("Take the example", size="sm", min_width=120)
            record = gr.Button("Record", size="sm", min_width=120)
        recorder = gr.Audio(
            sources=["microphone"], type="filepath", label="Record a song", visible=False
        )
        with gr.Row():
            start = gr.Number(0, label="Start, in seconds", minimum=0, min_width=100)
            length = gr.Number(
                min(PREVIEW, self._limits.seconds), label="Length, in seconds", minimum=1,
                maximum=self._limits.seconds, min_width=100,
            )  # fmt: skip
            whole = gr.Checkbox(
                False, label="To its end", info=f"at most {self._limits.seconds} s", min_width=120
            )
        example.click(lambda: self._example, None, song, queue=False, api_visibility="private")
        record.click(
            lambda: gr.update(visible=True), None, recorder, queue=False, api_visibility="private"
        )
        recorder.stop_recording(
            lambda path: path, recorder, song, queue=False, api_visibility="private"
        )
        return song, [start, length, whole]

    def _cards(self, label: str, value: str) -> gr.Radio:
        cards = gr.Radio(list(self._dancers), value=value, label=label, elem_classes="cards")
        self._radios.append(cards)
        return cards

    def _seed(self, label: str, value: int) -> gr.Number:
        with gr.Row():
            seed = gr.Number(value, label=label, minimum=0, precision=0, min_width=120)
            dice = gr.Button("⚄ Dice", scale=0, min_width=96, elem_classes="dice")
        dice.click(
            lambda: random.randrange(_SEEDS), None, seed, queue=False, api_visibility="private"
        )
        return seed

    def _stops(self, button: gr.Button, events: list[Any], outputs: list[Any]) -> None:
        """Let a button stop events."""
        button.click(
            lambda: (say("Stopped."), *IDLE), None, outputs, cancels=events, queue=False,
            api_visibility="private",
        )  # fmt: skip

    def _bundle(self, own: dict[str, Path], name: str) -> str | Path:
        """A dancer by the name on the card: never by a path that a visitor gives."""
        known = self._dancers | own
        if name not in known:
            raise DancingError(f"no dancer '{name}'; there are {', '.join(known)}")
        if name in own and not own[name].exists():
            raise DancingError(
                f"{name} is no longer on this server, which keeps files a while only"
            )
        return known[name]

    def _duration(self, length: float | None, whole: bool) -> float:
        """Seconds to dance at most; the page's field keeps a length within the limit."""
        return self._limits.seconds if whole else given(length, "length")

    def _pictures(self, own: dict[str, Path]) -> str:
        """Style rules that put the dancers' pictures on their cards."""
        rules = []
        for name, path in (self._dancers | own).items():
            picture = Bundle(path).preview() if name not in own or own[name].exists() else None
            if picture is not None:
                shown = read_picture(picture)
                height, width = shown.shape[:2]
                small = resize(shown, fitting_width(width, height, _CARD), _CARD)
                data = base64.b64encode(encode_png(small)).decode()
                rules.append(
                    f'.cards label[data-testid="{name}-radio-label"] '
                    f"{{ background-image: url(data:image/png;base64,{data}); }}"
                )
        return f"<style>{''.join(rules)}</style>"


def _people(
    files: Sequence[Path], names: dict[str, str], listener: Listener
) -> Iterator[tuple[_Sighting, list[str]]]:
    """Who is found in the photos among the visitor's files, and notes."""
    photos = [path for path in files if is_photo(path)]
    if photos:
        found = seen_in(photos, listener)
        for path, (picture, notes) in zip(photos, found, strict=True):
            yield (picture, as_named(path.name, names)), notes


def _previews(outputs: Sequence[Path]) -> list[Path]:
    """Pictures of the state of what is being learned, if anything is yet."""
    if not outputs:
        return []
    from dancing.learn import previews

    return previews(outputs[0])


def _preview(bundle: Path) -> str | None:
    """The file of a dancer's picture, beside its bundle."""
    picture = Bundle(bundle).preview()
    if picture is None:
        return None
    file = bundle.with_name("preview.png")
    file.write_bytes(picture)
    return str(file)
