"""Video files, through the decoder that is there."""

import contextlib
import functools
import logging
import os
from collections.abc import Iterator

from flmm.files import open_regular
from flmm.video.containers import container_of
from flmm.video.display_matrix import only_quarter_turns
from flmm.video.source import VideoSource


@contextlib.contextmanager
def open_video_file(path: str | os.PathLike, *, name: str, max_pixels: int) -> Iterator[VideoSource]:
    """Open a video file: through torchcodec where that can be loaded, else through PyAV. Both give the same
    frames; where FFmpeg interpolates colours, of interlaced and of 10-bit videos, pixels differ by its version.

    Torchcodec turns what players mirror, so PyAV decodes that. Of MP4 and MOV files
    :func:`~flmm.video.display_matrix.only_quarter_turns` says whether they are mirrored; AVI files cannot be. Matroska
    and WebM files can (ProjectionPoseYaw), and are not looked into: PyAV decodes all that players turn or mirror.
    A turn that is not in the container but in its video stream (H.264's display orientation) is known to PyAV alone.

    Args:
        path: a regular file on this machine.
        name: what errors call it.
        max_pixels: largest width times height of a frame.

    Raises:
        ValueError: there is no such file or no decoder that shows it rightly, or the file cannot be read;
            :class:`TorchCodecFile` and :class:`PyAVFile` say how.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open_regular(path))
        except (OSError, ValueError) as error:
            expected = 'a list of the frames in it' if os.path.isdir(path) else 'the path of a file on this machine'
            raise ValueError(f'video {name!r} cannot be opened ({error}); expected {expected}') from error
        container = container_of(file, name=name)
        if _torchcodec_loads():
            from flmm.video.torchcodec_file import TorchCodecFile

            video = TorchCodecFile(file, name=name, max_pixels=max_pixels)
            if not video.has_matrix or (container == 'mov' and only_quarter_turns(file)):
                yield video
                return
            file.seek(0)
            missing = 'may be mirrored for players, which torchcodec takes for turned; install PyAV to decode it'
        else:
            missing = 'is a file, and neither torchcodec nor PyAV can be imported to decode it; install one'
        try:
            from flmm.video.pyav_file import PyAVFile
        except ImportError as error:
            raise ValueError(
                f'video {name!r} {missing}, such as by pip install "flmm[video]", or give its frames as a list'
            ) from error
        video = PyAVFile(file, container=container, name=name, max_pixels=max_pixels)
        stack.callback(video.close)
        yield video


@functools.cache
def _torchcodec_loads() -> bool:
    try:
        from torchcodec.decoders import VideoStreamMetadata
    except ImportError:
        return False
    except (OSError, RuntimeError) as error:  # FFmpeg's libraries are absent, or it was built for another torch
        logging.getLogger('flmm').info('torchcodec cannot be loaded, PyAV decodes videos (%s)', error)
        return False
    return 'rotation' in VideoStreamMetadata.__dataclass_fields__  # older ones give frames as they are stored
