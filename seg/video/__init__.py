"""Video: frames from files, cameras and URLs; into files and windows; and the loop between."""

from seg.video.loop import VideoRun, segment_video
from seg.video.sink import VIDEO_SUFFIX, VideoFile, Window, has_display
from seg.video.source import VideoSource

__all__ = ["VIDEO_SUFFIX", "VideoFile", "VideoRun", "VideoSource", "Window", "has_display", "segment_video"]
