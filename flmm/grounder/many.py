"""Many images: decoded and processed in the workers of a data loader, while the model runs in this process."""

import os
import reprlib
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from flmm.datasets import RefCOCO2PNG
from flmm.grounder.any_image import AnyImage
from flmm.grounder.grounding import Grounding
from flmm.grounder.prepared_image import PreparedImage, prepare_image
from flmm.images import images_in

if TYPE_CHECKING:
    from flmm.grounder.grounder import Grounder

ON_ERROR = ('raise', 'yield')

Images = str | os.PathLike | Iterable[AnyImage] | Iterable[tuple[AnyImage, Iterable[str]]]


class Job(NamedTuple):
    """One image, and what to find in it."""

    name: str
    image: AnyImage
    phrases: Iterable[str]


class _PreparedImages(Dataset):
    """Prepares the image of a job, which the sampler hands over in the place of an index."""

    def __init__(self, to_sample: RefCOCO2PNG) -> None:
        self.to_sample = to_sample

    def __getitem__(self, job: Job) -> tuple[Job, PreparedImage | ValueError]:
        try:
            prepared = prepare_image(job.image, to_sample=self.to_sample, name=job.name)
        except ValueError as error:
            prepared = error  # handed back, since a loader would hide the message in one of its own
        return job._replace(image=None), prepared  # the pixels need not travel back


def ground_many(
    grounder: 'Grounder',
    images: Images,
    phrases: Iterable[str] | None,
    *,
    num_workers: int,
    progress: bool,
    on_error: str,
) -> Iterator[tuple[str, Grounding | ValueError]]:
    """Do what :meth:`flmm.grounder.Grounder.ground_many` says. Settings are checked at once, not at the first image."""
    if on_error not in ON_ERROR:
        raise ValueError(f'on_error is {on_error!r}, expected one of {ON_ERROR}')
    if isinstance(num_workers, bool) or not isinstance(num_workers, int) or num_workers < 0:
        raise ValueError(f'num_workers is {num_workers!r}, expected 0 or a number of processes')
    if phrases is not None:
        phrases = _shared_phrases(phrases, grounder.to_sample)
    if isinstance(images, (str, os.PathLike)):
        if not Path(images).is_dir():
            raise ValueError(f'images is {str(images)!r}, which is no folder; give a folder, or a list of images')
        images = images_in(images)
    if isinstance(images, bytes) or not isinstance(images, Iterable):
        raise ValueError(f'images is a {type(images).__name__}; give a folder, or a list of images')
    loader = DataLoader(
        _PreparedImages(grounder.to_sample),
        sampler=_jobs(images, phrases),
        batch_size=None,
        num_workers=num_workers,
        collate_fn=_unchanged,
        generator=torch.Generator(),  # a loader draws a seed; the caller's random numbers stay as they are
    )
    total = len(images) if isinstance(images, Sized) else None
    return _found(grounder, tqdm(loader, total=total, unit='image', disable=not progress), on_error)


def _shared_phrases(phrases: Iterable[str], to_sample: RefCOCO2PNG) -> list[str]:
    if isinstance(phrases, str) or not isinstance(phrases, Iterable):
        raise ValueError(f'phrases is {phrases!r}; give a list of strings, or None and pairs (image, phrases)')
    phrases = list(phrases)
    if not phrases:
        raise ValueError('phrases is empty; give a list of strings, or None and pairs (image, phrases)')
    to_sample.text_tokenizer.phrases(phrases, separated=False)  # else each image would bring the same error
    return phrases


def _jobs(images: Iterable, phrases: list[str] | None) -> Iterator[Job]:
    for index, item in enumerate(images):
        place = f'images[{index}]'
        if phrases is not None:
            image, own = item, phrases
        elif isinstance(item, (tuple, list)) and len(item) == 2:
            image, own = item
            if isinstance(own, Iterable) and not isinstance(own, str):
                own = list(own)  # a generator cannot go to another process
        else:
            raise ValueError(
                f'{place} is {reprlib.repr(item)}, expected a pair (image, phrases), since phrases is None'
            )
        yield Job(os.fspath(image) if isinstance(image, (str, os.PathLike)) else place, image, own)


def _found(
    grounder: 'Grounder', prepared_images: Iterable[tuple[Job, PreparedImage | ValueError]], on_error: str
) -> Iterator[tuple[str, Grounding | ValueError]]:
    for job, prepared in prepared_images:
        try:
            if isinstance(prepared, ValueError):
                raise prepared
            found = grounder.read(prepared).ground(job.phrases)
        except ValueError as error:
            if on_error == 'raise':
                raise
            found = error
        yield job.name, found


def _unchanged(prepared: tuple[Job, PreparedImage | ValueError]) -> tuple[Job, PreparedImage | ValueError]:
    return prepared
