"""Video: frames from files, cameras and URLs; output to files and windows; and the threads in between.

`for result in seg.video.segment(source, predictor): ...` and `seg.video.segment_file(source, output)` are enough for most uses.
"""

from seg.video.api import segment, segment_file
from seg.video.draw import Painter, Show
from seg.video.encode import OUTPUT_SUFFIXES, VIDEO_SUFFIX, VideoFile
from seg.video.page import Page
from seg.video.pipeline import MODES, Mode, Pipeline, VideoRun, run
from seg.video.source import open_source, videos_in
from seg.video.window import Window, has_display

__all__ = ["MODES", "OUTPUT_SUFFIXES", "VIDEO_SUFFIX", "Mode", "Page", "Painter", "Pipeline", "Show", "VideoFile", "VideoRun",
           "Window", "has_display", "open_source", "run", "segment", "segment_file", "videos_in"]
