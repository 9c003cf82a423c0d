"""Videos for Qwen-VL models: which frames are read, at what size, from files or from lists of frames."""

from flmm.video.clip import Clip
from flmm.video.frame_sampling import FrameSampling
from flmm.video.frame_size import FrameSize
from flmm.video.reading import VideoInput, read_clip, read_clip_shape

__all__ = ['Clip', 'FrameSampling', 'FrameSize', 'VideoInput', 'read_clip', 'read_clip_shape']
