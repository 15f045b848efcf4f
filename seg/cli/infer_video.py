"""`infer.py --video`: from a video, a camera or a folder of videos to files, pictures, a window and a page."""

import re
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext, redirect_stdout
from functools import cached_property
from pathlib import Path
from typing import Self

from seg.cli.common import Interruption
from seg.cli.infer_common import DRAWN, all_of, examples_for, finish, load, look, say
from seg.cli.infer_options import InferOptions
from seg.cli.outputs import PictureWriter, parse_kinds
from seg.cli.progress import progress_bar
from seg.document import check_paths
from seg.document.words import count
from seg.errors import SegError
from seg.files import check_writable_folder
from seg.flow import Ending, Segmented, Sink, Stream
from seg.label_sets import LabelSet
from seg.runtime import Predictor
from seg.video import VIDEO_SUFFIX, Page, Painter, Show, VideoFile, Window, has_display, open_source, videos_in
from seg.video import run as run_video
from seg.video.page import parse_address
from seg.video.source import PIPE


def video(options: InferOptions) -> None:
    """Segments videos into windows, files, pictures and a page; those of a folder one after another, even if some fail."""
    assert options.video is not None
    # where it is asked for, standard output carries the video itself
    with redirect_stdout(sys.stderr) if str(options.output) == PIPE else nullcontext(), ExitStack() as stack:
        setting = _Setting(options, stack)
        folder = Path(options.video)
        paths = videos_in(folder) if folder.is_dir() else []
        if len(paths) > 1:
            setting.check_for_many(folder, len(paths))
            _work_on_all(setting, paths)
        else:
            name = str(paths[0]) if paths else options.video
            _Video(setting, name, _stem(name)).run()


def _work_on_all(setting: "_Setting", paths: Sequence[Path]) -> None:
    """Works on several videos, and says at the end which of them failed and why."""
    setting.prepare()
    stems = Counter(path.stem.casefold() for path in paths)
    done, faults = 0, list[str]()
    for path in paths:
        try:
            work = _Video(setting, str(path), path.stem if stems[path.stem.casefold()] == 1 else path.name)
            work.run()
            done += 1
        except SegError as fault:
            faults.append(str(fault) if str(path) in str(fault) else f"{path}: {fault}")
            print(f"{faults[-1]} The others go on.", file=sys.stderr)
            continue
        if work.was_quit:
            break
    if faults:
        heading = f"{done} of {count(len(paths), 'video')} were segmented; what was wrong with the others:"
        raise SegError(all_of([heading], faults))


class _Setting:
    """What all videos of a command share. Each part is made when it is first needed, so that cheap checks come first."""

    def __init__(self, options: InferOptions, stack: ExitStack) -> None:
        self.options, self._stack = options, stack
        self.kinds = parse_kinds(options.save or "overlay")
        self.address = None if options.serve is None else parse_address(options.serve)
        self.in_window = options.show or (options.output is None and self.address is None)
        if options.show and not has_display():
            raise SegError("There is no display for --show; leave it out, and show the video to browsers with --serve.")
        if self.in_window and not has_display():
            raise SegError("There is no display to show the video on; show it to browsers with --serve, or write a file "
                           "with --output FILE.mp4.")
        if options.output is None and (undrawn := set(self.kinds) - set(DRAWN)):
            raise SegError(f"{', '.join(sorted(undrawn))} are pictures, one for each frame; say where they go: --output FOLDER.")
        self.first: Show = "color" if self.kinds[0] == "color" else "overlay"

    def check_for_many(self, folder: Path, videos: int) -> None:
        """Refuses options that only make sense for a single video."""
        output = self.options.output
        if self.options.report or (output is None and self.address is None) or (output is not None and output.suffix):
            raise SegError(f"{folder} holds {videos} videos; they are written into a folder, without a report: --output FOLDER.")

    def prepare(self) -> None:
        """Makes all parts."""
        _ = self.look, self.page

    @cached_property
    def predictor(self) -> Predictor:
        """The predictor that runs."""
        return load(self.options, self.kinds)

    @cached_property
    def look(self) -> tuple[LabelSet, tuple[int, ...] | None]:
        """Colours, and the train ids that are highlighted."""
        shown = DRAWN if self.in_window or self.address else ()
        return look(self.options, self.predictor.label_set, (*self.kinds, *shown))

    @cached_property
    def page(self) -> Page | None:
        """The page, which is served until all is done; None if no page is asked for."""
        if self.address is None:
            return None
        (label_set, shown), (host, port) = self.look, self.address
        alone = self.options.output is None and not self.in_window
        return self._stack.enter_context(Page(self.predictor, label_set=label_set, host=host, port=port, show=self.first,
                                              shown=shown, paced=alone))


class _Video:
    """One video: checked when it is made, worked on by `run`.

    Attributes:
        was_quit: whether the user closed its window.
    """

    def __init__(self, setting: _Setting, name: str, stem: str) -> None:
        options = setting.options
        self._setting, self._options, self._name = setting, options, name
        quiet = (lambda text: None) if options.quiet else None
        self._source = open_source(name, threads=options.threads or 0, raw=options.raw, fps=options.fps, say=quiet)
        self._files = _video_targets(options.output, name, stem, setting.kinds)
        label_set, shown = setting.look
        self._sinks: list[Sink] = [VideoFile(path, Painter(label_set, kind, shown), overwrite=options.overwrite,
                                             threads=((options.threads or 0) + 1) // 2) for path, kind in self._files]
        pictures = [kind for kind in setting.kinds if kind not in DRAWN]
        if pictures:  # with several videos, each has its own folder
            assert options.output is not None  # see `_Setting`
            self._sinks.append(PictureWriter(options.output, pictures, label_set, lambda item: f"{stem}/{item.index:06d}.png"))
        self._window = None
        if setting.in_window:
            self._window = Window(Painter(label_set, setting.first, shown), say=lambda text: say(options, text))
            self._sinks.append(self._window)
        check_paths(options.report)
        for path, _ in self._files:
            if str(path) != PIPE:
                check_writable_folder(path.parent)
        if setting.page is not None:
            self._sinks.append(setting.page)

    @property
    def was_quit(self) -> bool:
        return self._window is not None and self._window.was_quit

    def run(self) -> None:
        """Works on it, and prints the result.

        Raises:
            SegError: as `seg.video.run`, or the source ended before its end.
        """
        options, examples = self._options, examples_for(self._options)
        with Interruption() as interruption, _Bar(options.quiet) as bar:
            self._wait_for_viewer(interruption)
            if self._window is not None:
                self._window.stop = lambda: interruption.wished
            try:
                done = run_video(self._source, self._setting.predictor, [*self._sinks, *examples, bar], mode=options.mode,
                                 limit=options.limit, smooth=options.smooth, stop=lambda: interruption.wished)
            except SegError as fault:
                kept = self._kept()
                raise SegError(f"{fault} What was written until then is kept in {kept}." if kept else str(fault)) from None
        frames = done.result.frames
        kept = self._kept()
        if frames:
            finish(options, done.result, examples)
            where = f" in {kept}" if kept else ""
            say(options, f"{count(frames, 'frame')}{where}: {done.frames_per_second:.1f} frames per second "
                f"from reading to {'showing' if options.output is None else 'writing'} ({done.seconds:.1f} s).")
        if frames and options.mode == "throughput":
            say(options, f"For throughput {count(self._setting.predictor.threads, 'frame')} at once were worked on, by a "
                f"thread each: {done.result.latency.summary()['p50']:.1f} ms for one, median. --mode latency takes less.")
        if interruption.wished:
            raise interruption.error(f"Kept {count(frames, 'frame')} in {kept}." if kept else "")
        if done.fault is not None:
            raise SegError(f"{done.fault} {'It is' if frames == 1 else 'They are'} kept in {kept}." if kept else str(done.fault))

    def _wait_for_viewer(self, interruption: Interruption) -> None:
        """Says where the page is. If a file is shown only there, it waits for the first viewer."""
        page = self._setting.page
        if page is None:
            return
        for_all = "" if page.is_local else " Whoever reaches this machine can watch."
        waits = page.paced and "://" not in self._name and not self._name.isdecimal()
        until = " The video begins when a browser shows it." if waits else ""
        print(f"The page: {page.url}{for_all}{until}", file=sys.stderr, flush=True)
        if waits:
            page.wait_for_viewer(lambda: interruption.wished)

    def _kept(self) -> str:
        """Returns, in words, where the written files are; empty if there are none."""
        files = [str(sink.kept) for sink in self._sinks if isinstance(sink, VideoFile) and sink.kept is not None]
        folders = [f"{sink.folder}/" for sink in self._sinks if isinstance(sink, PictureWriter) and sink.written]
        return " and ".join(files + folders)


class _Bar:
    """Shows the progress of a video on standard error, if that is a terminal; a `seg.flow.Sink`, used with `with`."""

    name = "progress"
    in_callers_thread = True

    def __init__(self, quiet: bool) -> None:
        self.delays_ms: dict[int, float] = {}
        self._progress = progress_bar(quiet)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def open(self, stream: Stream) -> None:
        self._task = self._progress.add_task("", total=stream.frames)

    def take(self, item: Segmented) -> bool:
        self._progress.advance(self._task)
        return True

    def close(self, ending: Ending) -> None:
        self._progress.remove_task(self._task)


def _video_targets(output: Path | None, source: str, stem: str, kinds: Sequence[str]) -> list[tuple[Path, Show]]:
    """Returns the files to write and what each shows: `output`, or names that begin with `stem` if `output` is a folder."""
    drawn: list[Show] = [kind for kind in DRAWN if kind in kinds]
    if output is None:
        return []
    if str(output) != PIPE and (output.is_dir() or not output.suffix):
        targets = [(output / f"{stem}_{kind}{VIDEO_SUFFIX}", kind) for kind in drawn]
    elif len(kinds) > 1 or not drawn:
        raise SegError(f"A video file shows overlay or color; --save {','.join(kinds)} needs a folder: --output FOLDER.")
    else:
        targets = [(output, drawn[0])]
    for path, _ in targets:
        if path.exists() and Path(source).exists() and path.samefile(source):
            raise SegError(f"--output {path} is the video itself; choose another name.")
    return targets


def _stem(source: str) -> str:
    """Returns the stem for the names of files."""
    if source.isdecimal():
        return f"camera{source}"
    return "stream" if "://" in source or source == PIPE else re.sub(r"_?%\d*d", "", Path(source).stem) or "frames"
