"""Video files through torchcodec."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from torch import Tensor
from torchcodec.decoders import VideoDecoder

from flmm.video.source import check_frame_count, check_frame_pixels


class TorchCodecFile:
    """A video file that is open; a :class:`~flmm.video.source.VideoSource`.

    Torchcodec turns what players mirror, and does not tell that from what they turn. ``has_matrix`` says that there is
    something to tell: the container has a matrix for players.

    Args:
        file: open to be read.
        name: what errors call the video.
        max_pixels: largest width times height of a frame.

    Raises:
        ValueError: it cannot be opened, is damaged or cut off, has no video stream or no frame, or too large frames.
    """

    def __init__(self, file: BinaryIO, *, name: str, max_pixels: int) -> None:
        self.name = name
        try:
            # exact: packets are counted, as headers may be wrong
            self._decoder = VideoDecoder(file, seek_mode='exact', device='cpu')
        except (RuntimeError, ValueError) as error:
            problem = str(error).splitlines()[0]
            raise ValueError(f'video {name!r} cannot be read ({problem}); download it again or convert it') from error
        known = self._decoder.metadata
        check_frame_pixels(known.width, known.height, name=name, max_pixels=max_pixels)
        check_frame_count(known.num_frames, name=name)
        self.num_frames, self.fps = known.num_frames, float(known.average_fps)
        self.size = (known.width, known.height)
        self.has_matrix = known.rotation is not None

    def frames(self, indices: Sequence[int]) -> Iterator[Tensor]:
        """Yield the frames of these numbers, which never fall, each [3, H, W] uint8, RGB, turned for display.

        Raises:
            ValueError: a frame cannot be decoded.
        """
        try:
            for index in indices:
                yield self._decoder.get_frame_at(index).data
        except (RuntimeError, ValueError) as error:
            raise ValueError(f'video {self.name!r}: frame {index} cannot be decoded ({error})') from error
