"""The command line: parse, call, report. No logic lives here, and nothing heavy is imported."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from dancing.errors import DancingError, explained
from dancing.files import cache_folder, from_pipe, is_pipe
from dancing.listener import Listener
from dancing.signals import end_in_order, leave_at_once
from dancing.version import VERSION

if TYPE_CHECKING:
    from rich.progress import Progress

    from dancing.evaluation.table import Report

app = typer.Typer(
    help="A song goes in, a person dances out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
train_app = typer.Typer(help="Train a model on datasets.", no_args_is_help=True)
app.add_typer(train_app, name="train")
evaluate_app = typer.Typer(
    help="Score a bundle on clips that it was not trained on.", no_args_is_help=True
)
app.add_typer(evaluate_app, name="evaluate")


class Style(StrEnum):
    """What is drawn."""

    PERSON = "person"
    SKELETON = "skeleton"
    SIDE_BY_SIDE = "side-by-side"


class Device(StrEnum):
    """Where training runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"dancing {VERSION}")
        raise typer.Exit


@app.command()
def generate(
    songs: Annotated[
        list[Path] | None,
        typer.Argument(help="Songs: audio or video files, or folders of them; '-' is piped in."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="OUT.mp4|.mov|.webm, a folder, or OUT.npz|.json|.csv for poses only.",
        ),
    ] = None,
    dancer: Annotated[
        str, typer.Option(help="A dancer's name (see 'dancing dancers'), a bundle, or a photo.")
    ] = "default",
    motion: Annotated[
        str | None, typer.Option(help="Name or bundle whose motion model makes the poses.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same dance.")] = 0,
    energy: Annotated[
        float, typer.Option(min=0, max=2, help="How vigorous; 1 is what the music asks for.")
    ] = 1.0,
    genre: Annotated[
        str,
        typer.Option(
            metavar="auto|NAME|NAME:PART,NAME:PART",
            help="Genre of the dance, such as house; auto: what the song asks for.",
        ),
    ] = "auto",
    keep: Annotated[
        Path | None, typer.Option(help="Keep the poses of this file, fill in the rest.")
    ] = None,
    start_pose: Annotated[
        Path | None, typer.Option(help="Begin with the first pose of this file.")
    ] = None,
    poses: Annotated[
        Path | None, typer.Option(help="Write the poses too: OUT.npz, .json or .csv.")
    ] = None,
    poses_from: Annotated[
        Path | None, typer.Option(help="Draw the poses of this file; a song only gives the sound.")
    ] = None,
    as_is: Annotated[
        bool,
        typer.Option("--as-is", help="Draw poses where they are, not fitted to the dancer's body."),
    ] = False,
    style: Annotated[Style, typer.Option(help="What to draw.")] = Style.PERSON,
    background: Annotated[
        str | None,
        typer.Option(help="Behind the person: a colour, a picture, a video, or 'transparent'."),
    ] = None,
    height: Annotated[
        int | None, typer.Option(help="Height of the video, in pixels; default: the dancer's.")
    ] = None,
    start: Annotated[float, typer.Option(min=0, help="Begin here, in seconds.")] = 0.0,
    duration: Annotated[
        float | None, typer.Option(min=0.05, help="So many seconds; default: to the end.")
    ] = None,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave videos alone that are there already.")
    ] = False,
) -> None:
    """Make a dance video with sound from each song."""
    from dancing import pipeline

    jobs = pipeline.plan(songs or [], output, poses_from, background, _Notes())
    if poses is not None and len(jobs) > 1:
        raise DancingError("--poses names one file, but there are several songs")
    failures = []
    for song, target in jobs:
        if skip_existing and target.exists():
            typer.echo(f"{target}: exists, skipped")
            continue
        try:
            with ExitStack() as stack:
                listener = stack.enter_context(_following(str((song or poses_from or target).name)))
                read = song
                if song is not None and is_pipe(song):
                    read = stack.enter_context(from_pipe(song, target.parent))
                    listener.names[str(read)] = str(song)
                pipeline.generate(
                    read,
                    target,
                    dancer=dancer,
                    motion=motion,
                    seed=seed,
                    energy=energy,
                    genre=genre,
                    keep=keep,
                    start_pose=start_pose,
                    poses=poses,
                    poses_from=poses_from,
                    as_is=as_is,
                    style=style.value,
                    background=background,
                    height=height,
                    start=start,
                    duration=duration,
                    listener=listener,
                )
        except (DancingError, OSError, MemoryError) as error:
            failures.append(_line(error))
            _complain(error)
        else:
            typer.echo(target)
    if failures and len(jobs) > 1:
        typer.echo(f"{len(failures)} of {len(jobs)} songs failed:", err=True)
        for failure in failures:
            typer.echo(f"  {failure}", err=True)
    if failures:
        raise typer.Exit(1)


_DeviceOption = Annotated[Device, typer.Option(help="Where to train.")]


@app.command()
def prepare(
    inputs: Annotated[list[Path], typer.Argument(help="Videos or pose files, or folders of them.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The dataset, DATA.h5.")],
    size: Annotated[int, typer.Option(min=32, max=4096, help="Height of the pictures.")] = 640,
    songs: Annotated[
        Path | None, typer.Option(help="Folder of the songs that pose files were danced to.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Folder of known landmarks, NAME.npz, and mattes, NAME_alpha.mp4."),
    ] = None,
    genre: Annotated[str | None, typer.Option(help="Genre of the dances, such as house.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Videos at a time, one process each.")] = 1,
) -> None:
    """Turn videos of one person dancing into a dataset: poses, pictures, music features."""
    from dancing.data.prepare import prepare as run

    with _following("prepare") as listener:
        report = run(
            inputs, output, size=size, jobs=jobs, songs=songs, labels=labels, genre=genre,
            listener=listener,
        )  # fmt: skip
    for line in report.lines():
        typer.echo(line)
    if report.failed:
        raise typer.Exit(1)


@app.command()
def learn(
    inputs: Annotated[
        list[Path], typer.Argument(help="Photos or videos of one person, or folders of them.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The bundle, a folder or .zip.")],
    start: Annotated[str, typer.Option("--from", help="Start from this dancer's weights.")] = (
        "default"
    ),
    moves: Annotated[bool, typer.Option("--moves", help="Learn the way to dance too.")] = False,
    model: Annotated[
        str,
        typer.Option(help="'warp' deforms pictures of the person; 'limbs' is trained on videos."),
    ] = "warp",
    minutes: Annotated[float, typer.Option(min=2, help="Train so long in all.")] = 18.0,
    device: _DeviceOption = Device.AUTO,
) -> None:
    """Learn your own dancer from photos or videos of one person."""
    from dancing import learn as learning

    if model == "limbs":
        typer.echo(f"previews: {learning.previews_folder(output)}", err=True)
    with _following("learn") as listener:
        learned = learning.learn(
            inputs,
            output,
            start=start,
            moves=moves,
            model=model,
            minutes=minutes,
            device=device.value,
            listener=listener,
        )
    for note in learned.notes:
        typer.echo(f"note: {note}")
    if learned.report is not None:
        learned.report.show()
    typer.echo(learned.bundle)


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="A dataset, a dancer bundle or a pose file.")],
    plot: Annotated[Path | None, typer.Option(help="Draw what is in it, OUT.png.")] = None,
) -> None:
    """Say what is in a file, and draw it."""
    from dancing import inspection

    for line in inspection.describe(path):
        typer.echo(line)
    if plot is not None:
        inspection.plot(path, plot)
        typer.echo(plot)


_Data = Annotated[list[Path], typer.Argument(help="Datasets, DATA.h5.")]
_Run = Annotated[Path, typer.Option("-o", "--output", help="The run folder.")]
_Model = Annotated[str | None, typer.Option(help="Model family; default: the best one.")]
_Start = Annotated[
    str | None, typer.Option("--from", help="Start from this dancer's weights, or a bundle's.")
]
_Set = Annotated[
    list[str] | None, typer.Option("--set", help="A setting of the model, NAME=VALUE.")
]
_Minutes = Annotated[float | None, typer.Option(min=0, help="Stop after so many minutes in all.")]
_BatchSize = Annotated[
    int | None, typer.Option(min=1, help="Samples a step; default: the model's.")
]
_Devices = Annotated[
    int | None,
    typer.Option(min=1, help="GPUs, or processes on the CPU; the batch grows as often."),
]
_Resume = Annotated[bool, typer.Option("--resume", help="Go on where the run folder stopped.")]
_Epochs = Annotated[int | None, typer.Option(min=1, help="Default: the model's.")]


def _add_training(stage: str, about: str) -> None:
    """Add `dancing train STAGE`; both stages have the same options."""

    @train_app.command(stage, help=about)
    def train_stage(
        data: _Data,
        output: _Run,
        model: _Model = None,
        settings: _Set = None,
        epochs: _Epochs = None,
        minutes: _Minutes = None,
        batch_size: _BatchSize = None,
        start: _Start = None,
        device: _DeviceOption = Device.AUTO,
        devices: _Devices = None,
        resume: _Resume = False,
        seed: int = 0,
    ) -> None:
        from dancing.training.train import train

        figures = train(
            stage,
            data,
            output,
            model=model,
            settings=settings or [],
            epochs=epochs,
            minutes=minutes,
            batch_size=batch_size,
            start=start,
            device=device.value,
            devices=devices,
            resume=resume,
            seed=seed,
            listener=_Notes(),
            bar=sys.stderr.isatty(),
        )
        if os.environ.get("LOCAL_RANK", "0") != "0":
            return  # one of several processes tells
        typer.echo(output)
        for name, value in sorted(figures.items()):
            typer.echo(f"  {name} {value:.5g}")


_add_training("motion", "Train stage 1, music to poses.")
_add_training("image", "Train stage 2, poses to images.")


_Bundle = Annotated[str, typer.Option(help="A dancer's name, or a bundle.")]
_Scored = Annotated[list[Path], typer.Option(help="Dataset to score on; may be given again.")]
_Known = Annotated[
    list[Path] | None,
    typer.Option(help="Dataset of training clips, to compare with; may be given again."),
]
_IncludeTraining = Annotated[
    bool, typer.Option("--include-training", help="Score clips of the training data too.")
]
_Json = Annotated[Path | None, typer.Option("--json", help="Write all numbers, OUT.json.")]
_Markdown = Annotated[Path | None, typer.Option(help="Write the table, OUT.md.")]


_Card = Annotated[
    bool, typer.Option("--card", help="Write the model's figures into the bundle's card.")
]


def _report(
    report: Report,
    json: Path | None,
    markdown: Path | None,
    plot: Path | None,
    card: tuple[str, str] | None,
) -> None:
    report.show()
    if card is not None:
        from dancing.bundle import Bundle

        bundle, stage = card
        opened = Bundle(bundle)
        report.save_to_card(opened, stage, opened.stage(stage).model)
    if json is not None:
        report.save_json(json)
    if markdown is not None:
        report.save_markdown(markdown)
    for path in (json, markdown, plot):
        if path is not None:
            typer.echo(path)


@evaluate_app.command("motion")
def evaluate_motion(
    data: _Scored,
    bundle: _Bundle = "default",
    train_data: _Known = None,
    songs: Annotated[
        Path | None,
        typer.Option(help="Folder of songs to dance to as well; exact beats in a .json beside."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Dances a clip.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same table.")] = 0,
    include_training: _IncludeTraining = False,
    card: _Card = False,
    json: _Json = None,
    markdown: _Markdown = None,
    genres: Annotated[
        bool, typer.Option("--genres", help="Name the genres of dances too; needs --train-data.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw speed and beats, OUT.png.")] = None,
) -> None:
    """Score stage 1: does it dance, to this music, like the data?"""
    from dancing.evaluation import motion

    with _following("evaluate") as listener:
        report = motion.evaluate(
            bundle,
            data,
            train_data=train_data or [],
            songs=songs,
            seeds=seeds,
            seed=seed,
            include_training=include_training,
            by_genre=genres,
            plot=plot,
            listener=listener,
        )
    _report(report, json, markdown, plot, (bundle, "motion") if card else None)


@evaluate_app.command("image")
def evaluate_image(
    data: _Scored,
    bundle: Annotated[
        list[str] | None,
        typer.Option(
            help="A dancer's name, or a bundle; may be given again, to compare.",
            show_default="default",
        ),
    ] = None,
    train_data: _Known = None,
    frames: Annotated[int, typer.Option(min=2, help="Score so many frames at most.")] = 200,
    include_training: _IncludeTraining = False,
    card: _Card = False,
    json: _Json = None,
    markdown: _Markdown = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the worst, median and best frame, OUT.png.")
    ] = None,
) -> None:
    """Score stage 2: does it draw the person, in this pose, as the camera would?"""
    from dancing.evaluation import image

    bundles = bundle or ["default"]
    if card and len(bundles) > 1:
        raise DancingError("--card writes the figures of one bundle; name one")
    with _following("evaluate") as listener:
        report = image.evaluate(
            bundles[0],
            data,
            beside=bundles[1:],
            train_data=train_data or [],
            frames=frames,
            include_training=include_training,
            plot=plot,
            listener=listener,
        )
    _report(report, json, markdown, plot, (bundles[0], "image") if card else None)


@app.command()
def export(
    runs: Annotated[
        list[str],
        typer.Argument(help="Run folders, or FOLDER:WEIGHT: of several of a stage, the mean."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The bundle, a folder or .zip.")],
    name: Annotated[str | None, typer.Option(help="The dancer's name.")] = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "unspecified",
    data: Annotated[str, typer.Option(help="What they were trained on.")] = "unspecified",
) -> None:
    """Make a dancer bundle from training runs."""
    from dancing.export import export as run

    typer.echo(run(runs, output, name=name, licence=licence, data=data))


@app.command()
def dancers() -> None:
    """List the dancers that are installed."""
    from dancing import bundle

    for name in bundle.embedded():
        card = bundle.Bundle(name).card
        mark = " (default)" if name == bundle.DEFAULT else ""
        models = ", ".join(each.model for each in (card.motion, card.image) if each is not None)
        typer.echo(f"{name}{mark}: {models}; weights {card.licence}")


@app.command()
def serve(
    host: Annotated[
        str | None,
        typer.Option(help="Listen at this address, 0.0.0.0 for all; default: this machine alone."),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Listen at this port.")] = 7860,
    auth: Annotated[
        str | None, typer.Option(envvar="DANCING_AUTH", help="USER:PASSWORD that visitors give.")
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Everybody who reaches the server may use it.")
    ] = False,
    names: Annotated[
        list[str] | None,
        typer.Option("--name", help="A name that visitors reach it by; may be given again."),
    ] = None,
    dancers: Annotated[
        list[Path] | None,
        typer.Option("--dancer", help="A bundle to offer as well; may be given again."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Dances made at a time.")] = 1,
    max_upload: Annotated[int, typer.Option(min=1, help="Megabytes of one file.")] = 200,
    max_space: Annotated[int, typer.Option(min=1, help="Megabytes of all files together.")] = 8000,
    max_seconds: Annotated[int, typer.Option(min=1, help="Length of a dance.")] = 600,
    max_minutes: Annotated[int, typer.Option(min=2, help="Time to learn a dancer.")] = 60,
    keep: Annotated[float, typer.Option(min=1, help="Minutes that files are kept.")] = 60.0,
) -> None:
    """Open the studio: the same in a browser."""
    from dancing import studio

    studio.serve(
        host=host,
        port=port,
        auth=auth,
        no_auth=no_auth,
        names=names or [],
        limits=studio.Limits(jobs, max_upload, max_space, max_seconds, max_minutes, keep),
        dancers=dancers or [],
        ready=lambda address: typer.echo(f"The studio is at {address}; Ctrl+C ends it."),
    )


def main() -> NoReturn:
    """Run the command line; errors for people become one line and exit code 1."""
    warnings.simplefilter("ignore")  # notes for people come by a listener
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")  # a file may have any name
    _keep_caches_together()
    try:
        try:
            end_in_order()
            app()
        except (DancingError, ImportError, OSError, MemoryError) as error:
            _complain(error)
        finally:
            leave_at_once()
    except (KeyboardInterrupt, SystemExit) as end:
        # Typer makes the latter of the former.
        if isinstance(end, SystemExit) and end.code != 130:
            raise
        typer.echo("stopped", err=True)
        sys.exit(130)
    sys.exit(1)


def _keep_caches_together() -> None:
    """Have libraries keep what they store for next time in our cache folder, and nowhere else."""
    for name, library in (("MPLCONFIGDIR", "matplotlib"), ("TORCHINDUCTOR_CACHE_DIR", "torch")):
        os.environ.setdefault(name, str(cache_folder() / library))


def _complain(error: Exception) -> None:
    typer.echo(f"error: {_line(error)}", err=True)


def _line(error: Exception) -> str:
    """What is said of an error, in one line.

    Raises:
        ModuleNotFoundError: the error itself, when a part of the program is missing.
    """
    if isinstance(error, DancingError | ModuleNotFoundError):
        text = str(explained(error))
    elif isinstance(error, ImportError):
        cause: BaseException = error
        while deeper := cause.__cause__ or cause.__context__:
            cause = deeper
        text = f"{error.name or 'a library'}: cannot be loaded ({cause})"
    elif isinstance(error, OSError):
        text = f"{error.filename or 'system'}: {error.strerror or error}"
    else:
        text = "there is not enough memory"
    return " ".join(text.split())


class _Notes(Listener):
    """Prints each note once: a song is read twice, for its features and for the video's sound.

    Attributes:
        names: for temporary files, what people call them.
    """

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self._shown: set[str] = set()

    def note(self, text: str) -> None:
        for path, name in self.names.items():
            text = text.replace(path, name)
        if text not in self._shown:
            self._shown.add(text)
            typer.echo(f"note: {text}", err=True)


class _Bars(_Notes):
    """Shows a progress bar, with the time left, for each stage."""

    def __init__(self, bars: Progress, title: str) -> None:
        super().__init__()
        self._bars = bars
        self._title = title
        self._tasks: dict[str, Any] = {}

    def progress(self, stage: str, done: int, total: int | None) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(f"{self._title}: {stage}", total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)


@contextmanager
def _following(title: str) -> Iterator[_Notes]:
    """Notes, and progress bars where there is a terminal."""
    if not sys.stderr.isatty():
        yield _Notes()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),  # a name may look like markup
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _Bars(bars, title)
