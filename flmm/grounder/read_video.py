"""A video that the model has read, and can be asked about.

Letters: F frames, V moments of a video, M phrases, C channels, (h, w) the grid of a moment.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from flmm.clip_sample import ClipSample
from flmm.datasets.clip_to_sample import WAYS
from flmm.datasets.image_processor import ProcessedImage
from flmm.grounder.conversation import Conversation
from flmm.grounder.grounding import joined
from flmm.grounder.phrases import check_phrases
from flmm.grounder.prepared_image import PreparedImage, prepare_image
from flmm.grounder.video_grounding import VideoGrounding
from flmm.models.frozen_parts import FRAMES_AT_ONCE
from flmm.reading import ImageReading
from flmm.structures import GroundingSample
from flmm.video import Clip, VideoInput
from flmm.video.frame_sampling import FRAMES_MERGED

if TYPE_CHECKING:
    from flmm.grounder.grounder import Grounder

MAPS_AT_ONCE = 2**27
"""So many numbers of attention maps, V * M * C * h * w, are in memory together, or those of one phrase: 512 MiB."""


class ReadVideo(Conversation[VideoGrounding]):
    """Frames of a video that went through the vision part and the LMM once; SAM's encoder runs when first asked.

    Read as a video, it can be talked about, and the words of an answer ground as phrases do.

    SAM's embeddings are kept on the CPU, 4 MB a frame with SAM's ViT-L. Keys and values stay on the LMM's device.

    Args:
        grounder: what reads phrases.
        clip: the frames. One that is repeated has masks once.
        read_as: 'video', as one sequence of video tokens, in which a phrase sees all moments; or 'images', each frame
            by itself.
        source_names: what all frames of the source are called; None calls them after their numbers, such as '00007'.

    Raises:
        ValueError: another ``read_as``, or frames or a video that the LMM's processor refuses.
    """

    def __init__(
        self, *, grounder: 'Grounder', clip: Clip, read_as: str, source_names: Sequence[str] | None = None
    ) -> None:
        if read_as not in WAYS:
            raise ValueError(f'read_as is {read_as!r}, expected one of {WAYS}')
        self.grounder, self.name, self.read_as = grounder, clip.name, read_as
        self.fps, self.source_fps = clip.sampled_fps, clip.source_fps
        places = [place for place, index in enumerate(clip.indices) if index not in clip.indices[:place]]
        self.indices = [clip.indices[place] for place in places]
        num_frames = max(clip.num_source_frames, self.indices[-1] + 1)
        digits = max(len(str(num_frames - 1)), 5)
        self.source_names = source_names or [f'{index:0{digits}}' for index in range(num_frames)]
        self.frame_names = [self.source_names[index] for index in self.indices]
        self.frames = [Image.fromarray(clip.frames[place].permute(1, 2, 0).numpy()) for place in places]
        if read_as == 'video':
            self.shown_in = [(0, place // FRAMES_MERGED) for place in places]
            self.prepared = [self._prepared_video(clip)]
        else:
            self.shown_in = [(number, 0) for number in range(len(places))]
            self.prepared = [
                prepare_image(frame, to_sample=grounder.to_sample, name=f'{self.name}/{name}')
                for frame, name in zip(self.frames, self.frame_names, strict=True)
            ]
        self.readings = self._read()
        self.embeddings: dict[int, dict[str, Tensor]] = {}

    def ground(self, phrases: Iterable[str]) -> VideoGrounding:
        """Find phrases in the frames.

        Args:
            phrases: what to find, any number of strings.

        Raises:
            ValueError: no list of strings, or a phrase without letters or digits, or with too many tokens.
        """
        phrases = check_phrases(phrases, asked=f'video {self.name!r}')
        step = self._phrases_at_once() if self.grounder.to_sample.independent else len(phrases)
        parts = (phrases[start : start + step] for start in range(0, len(phrases), step))
        return self._joined(self._sequences(part) for part in parts)

    def found_of(self, samples: Iterable[GroundingSample], *, order: list[int] | None = None) -> VideoGrounding:
        """Let the model find the phrases of samples of the whole video, one sample after the other.

        Args:
            samples: each carries what the LMM has read of the video.
            order: which phrase comes first, second, ..., counted over all samples. None: as they come.
        """
        return self._joined(([sample] for sample in samples), order=order)

    def _joined(self, parts: Iterable[list[GroundingSample]], *, order: list[int] | None = None) -> VideoGrounding:
        """Ground some phrases after the others, each part as all sequences of the video with its phrases."""
        found: list[list[GroundingSample]] = [[] for _ in self.frames]
        for sequences in parts:
            for own, frame in zip(found, self._found(sequences), strict=True):
                own.append(frame)
        return VideoGrounding(
            frames=[joined(own, image=image, order=order) for own, image in zip(found, self.frames, strict=True)],
            frame_names=self.frame_names,
            indices=self.indices,
            fps=self.fps,
            source_fps=self.source_fps,
            source_names=self.source_names,
            name=self.name,
        )

    @torch.no_grad()
    def _found(self, sequences: list[GroundingSample]) -> Iterator[GroundingSample]:
        """Yield each frame with the masks of phrases, on the CPU, and without what they were made of."""
        clip = ClipSample(
            sequences=sequences,
            frames=self.frames,
            shown_in=self.shown_in,
            frame_names=self.frame_names,
            video_path=self.name,
        )
        for sample in self.grounder.model.predict_frames(clip, embed=self._embeddings):
            yield sample.to('cpu')

    def _sequences(self, phrases: list[str]) -> list[GroundingSample]:
        to_sample, device = self.grounder.to_sample, self.grounder.device
        return [
            prepared.sample(phrases, to_sample=to_sample).with_outputs(reading=reading).to(device)
            for prepared, reading in zip(self.prepared, self.readings, strict=True)
        ]

    @property
    def subject(self) -> str:
        """What messages call the video."""
        return f'video {self.name!r}'

    @property
    def image(self) -> Image.Image:
        """The first frame."""
        return self.frames[0]

    @property
    def processed(self) -> ProcessedImage:
        """What the LMM reads of the whole video.

        Raises:
            ValueError: it is read as single images.
        """
        if self.read_as != 'video':
            raise ValueError(
                f'video {self.name!r} is read as single images, of which no question about all of it can be asked; '
                "read it with read_as='video'"
            )
        return self.prepared[0].processed

    @property
    def reading_for_masks(self) -> ImageReading:
        """What the LMM keeps of the video; SAM's part comes frame by frame."""
        return self.readings[0]

    def prompt_ids(self, question: str) -> Tensor:
        """Return the conversation up to where the answer to a first question starts: [S] long."""
        to_sample = self.grounder.to_sample
        ids = to_sample.image_processor.video_turn_ids(self.processed, prompt=question, instead_of=to_sample.prompt)
        return ids.to(self.grounder.device)

    def beginning(self) -> GroundingSample:
        """Return a sample of the video, as it was read, with any phrase."""
        (sample,) = self._sequences(['x'])
        return sample

    def _embeddings(self, numbers: Sequence[int]) -> list[dict[str, Tensor]]:
        """Return what SAM's encoder makes of frames, each of which it reads once."""
        unread = [number for number in numbers if number not in self.embeddings]
        if unread:
            encoded = self.grounder.model.sam.encode_images([self.frames[number] for number in unread])
            for number, embedding in zip(unread, encoded, strict=True):
                self.embeddings[number] = {name: part.cpu() for name, part in embedding.items()}
        device = self.grounder.device
        return [{name: part.to(device) for name, part in self.embeddings[number].items()} for number in numbers]

    def _prepared_video(self, clip: Clip) -> PreparedImage:
        to_sample = self.grounder.to_sample
        processed = to_sample.image_processor.preprocess_video(clip, prompt=to_sample.prompt)
        return PreparedImage(image=self.frames[0], name=self.name, processed=processed)

    @torch.no_grad()
    def _read(self) -> list[ImageReading]:
        """Let the LMM read what is prepared, :data:`FRAMES_AT_ONCE` images together."""
        to_sample, device, model = self.grounder.to_sample, self.grounder.device, self.grounder.model
        readings: list[ImageReading] = []
        for start in range(0, len(self.prepared), FRAMES_AT_ONCE):
            prepared = self.prepared[start : start + FRAMES_AT_ONCE]
            samples = [each.beginning(to_sample=to_sample).to(device) for each in prepared]
            readings += model.read_images(samples, image_embeddings=[{} for _ in samples])
        return readings

    def _phrases_at_once(self) -> int:
        views = self.prepared[0].processed.views
        moments = len(views) if self.read_as == 'video' else FRAMES_AT_ONCE
        height, width = views[-1].layout.grid_size
        model = self.grounder.model
        channels = model.num_views * sum(map(len, model.heads.values()))
        return max(MAPS_AT_ONCE // (moments * channels * height * width), 1)


def names_of_files(video: VideoInput) -> list[str] | None:
    """Return what the files of a list of frames are called without suffix; None where that tells them not apart."""
    if isinstance(video, (str, os.PathLike)):
        return None
    names = [Path(frame).stem for frame in video if isinstance(frame, (str, os.PathLike))]
    return names if len({name.casefold() for name in names}) == len(video) else None
