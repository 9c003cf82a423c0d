"""Video files through PyAV."""

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

import av
import torch
from torch import Tensor

from flmm.video.source import check_frame_count, check_frame_pixels

ALONE = {'protocol_whitelist': 'none'}
"""FFmpeg's option by which a file cannot have another file or an address opened."""
ANY_METADATA = {'metadata_errors': 'replace'} if int(av.__version__.partition('.')[0]) < 19 else {}
"""Titles that are no UTF-8 are no error: PyAV before 19 wants to be told, later ones know no such setting."""


class _Packet(NamedTuple):
    """What is known of a frame before it is decoded. Times are in units of the stream."""

    time: int
    place: int  # as decoding goes, which reads frames before others that refer to them
    duration: int
    is_key: bool
    is_shown: bool  # edited videos have frames before their start


class PyAVFile:
    """A video file that is open; a :class:`~flmm.video.source.VideoSource`.

    Frames are numbered by the times of all packets, which are read without decoding. A frame is decoded from the last
    key frame before it.

    Args:
        file: open to be read.
        container: FFmpeg's name of its container.
        name: what errors call the video.
        max_pixels: largest width times height of a frame.

    Raises:
        ValueError: it cannot be opened, is damaged or cut off, has no video stream or no frame, or too large frames.
    """

    def __init__(self, file: BinaryIO, *, container: str, name: str, max_pixels: int) -> None:
        self.name = name
        try:
            self._container = av.open(file, format=container, options=ALONE, **ANY_METADATA)
            self._stream = self._container.streams.best('video')
            if self._stream is None or self._stream.codec_context is None:
                raise ValueError(f'video {name!r} has no video stream that can be decoded; convert it')
            self._stream.codec_context.thread_count = 1  # PyAV's threads live until a garbage collection
            # A frame may be larger than the header says. FFmpeg compares with widths that it rounds up to 64.
            self._stream.codec_context.options = {'max_pixels': str(max_pixels + 2**22)}
            check_frame_pixels(self._stream.width, self._stream.height, name=name, max_pixels=max_pixels)
            packets = [self._described(packet) for packet in self._container.demux(self._stream) if packet.size]
        except av.FFmpegError as error:
            raise ValueError(f'video {name!r} cannot be read ({error}); download it again or convert it') from error
        shown = [packet for packet in packets if packet.is_shown]
        check_frame_count(len(shown), name=name)
        self._first = packets[0]
        self._keys = sorted({self._first, *(packet for packet in packets if packet.is_key)})
        self._times = sorted(packet.time for packet in shown)
        self.num_frames = len(shown)
        duration = max(packet.time + packet.duration for packet in shown) - self._times[0]
        second = 1 / self._stream.time_base
        self.fps = float(self.num_frames * second / duration if duration else self._stream.average_rate or 0)
        _, height, width = next(self.frames([0])).shape  # in the header it lies as it is stored
        self.size = (width, height)

    def close(self) -> None:
        """Close the container; the file that was given stays open."""
        self._container.close()

    def frames(self, indices: Sequence[int]) -> Iterator[Tensor]:
        """Yield the frames of these numbers, which never fall, each [3, H, W] uint8, RGB, turned for display.

        Raises:
            ValueError: a frame cannot be decoded.
        """
        frame, decoded = None, iter(())
        for index in indices:
            time = self._times[index]
            key = self._keys[max(bisect_right(self._keys, time, key=lambda packet: packet.time) - 1, 0)]
            try:
                if frame is None or key.time > self._time(frame):
                    decoded = self._decoded_from(key)
                    frame = self._next_at(min(key.time, time), decoded)
                    if key != self._keys[0] and (frame is None or self._time(frame) > key.time):
                        # Its picture is not whole: others are renewed part by part (intra refresh), from the first on.
                        self._keys = self._keys[:1]
                        decoded = self._decoded_from(self._keys[0])
                        frame = self._next_at(time, decoded)
                if frame is not None and self._time(frame) < time:
                    frame = self._next_at(time, decoded)
            except av.FFmpegError as error:
                raise ValueError(f'video {self.name!r}: frame {index} cannot be decoded ({error})') from error
            if frame is None or self._time(frame) != time or frame.is_corrupt:
                raise ValueError(
                    f'video {self.name!r}: frame {index} of {self.num_frames} is damaged or not at its time; download '
                    'it again or convert it'
                )
            pixels = torch.from_numpy(frame.to_ndarray(format='rgb24'))  # [H, W, 3]
            yield _as_shown(pixels, frame).permute(2, 0, 1)  # [3, H, W]

    def _next_at(self, time: int, decoded: Iterator[av.VideoFrame]) -> av.VideoFrame | None:
        return next((frame for frame in decoded if self._time(frame) >= time), None)

    def _decoded_from(self, key: _Packet) -> Iterator[av.VideoFrame]:
        """Decode from a key frame on; from the start of the file where seeking goes past it."""
        for place in (key.place, self._first.place):
            self._container.seek(place, stream=self._stream)
            found = False
            for packet in self._container.demux(self._stream):
                found = found or (packet.size > 0 and self._time(packet) == key.time)
                if found:
                    yield from packet.decode()
            if found:
                return

    def _described(self, packet: av.Packet) -> _Packet:
        time = self._time(packet)
        return _Packet(
            time=time,
            place=time if packet.dts is None else packet.dts,
            duration=packet.duration or 0,
            is_key=packet.is_keyframe,
            is_shown=not packet.is_discard,
        )

    def _time(self, timed: av.Packet | av.VideoFrame) -> int:
        """When it is shown; AVI files may say only in which order frames are decoded."""
        time = timed.dts if timed.pts is None else timed.pts
        if time is None:
            raise ValueError(f'video {self.name!r} has frames without a time; convert it')
        return time


def _as_shown(pixels: Tensor, frame: av.VideoFrame) -> Tensor:
    """Turn and mirror a frame, [H, W, 3], by the matrix that its file has for players, to the nearest quarter turn.

    A matrix that leaves no picture, as its determinant is 0, has no effect.
    """
    matrix = frame.side_data.get('DISPLAYMATRIX')
    if matrix is None:
        return pixels
    # Places are rows: [x, y, 1] @ matrix, with y downwards. frame.rotation takes all for turns, a mirrored one, too.
    x_to_x, x_to_y, _, y_to_x, y_to_y = struct.unpack('=5i', bytes(matrix)[:20])
    if x_to_x * y_to_y == x_to_y * y_to_x:
        return pixels
    if abs(x_to_y) > abs(x_to_x):
        pixels = pixels.transpose(0, 1)
        x_to_x, y_to_y = y_to_x, x_to_y
    backwards = [axis for axis, sign in ((0, y_to_y), (1, x_to_x)) if sign < 0]
    return pixels.flip(backwards) if backwards else pixels
