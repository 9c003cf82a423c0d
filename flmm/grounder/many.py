"""Many images: decoded and processed in the workers of a data loader, while the model runs in this process."""

import os
import reprlib
from collections import deque
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from flmm.datasets import RefCOCO2PNG
from flmm.datasets.data_loader import end_with_parent, unchanged
from flmm.grounder.any_image import AnyImage, any_image
from flmm.grounder.grounding import Grounding
from flmm.grounder.prepared_image import PreparedImage, prepare_image
from flmm.images import images_in

if TYPE_CHECKING:
    from flmm.grounder.grounder import Grounder

ON_ERROR = ('raise', 'yield')

Images = str | os.PathLike | Iterable[AnyImage] | Iterable[tuple[AnyImage, Iterable[str]]]


class _PreparedImages(Dataset):
    """Prepares an image, which the sampler hands over with its name in the place of an index."""

    def __init__(self, to_sample: RefCOCO2PNG) -> None:
        self.to_sample = to_sample

    def __getitem__(self, named: tuple[str, AnyImage | ValueError]) -> PreparedImage | ValueError:
        name, image = named
        if isinstance(image, ValueError):
            return image
        try:
            return prepare_image(image, to_sample=self.to_sample, name=name)
        except ValueError as error:
            return error  # handed back, since a loader would hide the message in one of its own


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
    asked: deque[tuple[str, Iterable[str]]] = deque()
    loader = DataLoader(
        _PreparedImages(grounder.to_sample),
        sampler=_named_images(images, phrases, asked),
        batch_size=None,
        num_workers=num_workers,
        collate_fn=unchanged,
        worker_init_fn=end_with_parent,
        generator=torch.Generator(),  # a loader draws a seed; the caller's random numbers stay as they are
    )
    total = len(images) if isinstance(images, Sized) else None
    return _found(grounder, tqdm(loader, total=total, unit='image', disable=not progress), asked, on_error)


def _shared_phrases(phrases: Iterable[str], to_sample: RefCOCO2PNG) -> list[str]:
    if isinstance(phrases, (str, bytes)) or not isinstance(phrases, Iterable):
        raise ValueError(f'phrases is {phrases!r}; give a list of strings, or None and pairs (image, phrases)')
    phrases = list(phrases)
    if not phrases:
        raise ValueError('phrases is empty; give a list of strings, or None and pairs (image, phrases)')
    to_sample.text_tokenizer.phrases(phrases, separated=False)  # else each image would bring the same error
    return phrases


def _named_images(
    images: Iterable, phrases: list[str] | None, asked: deque[tuple[str, Iterable[str]]]
) -> Iterator[tuple[str, AnyImage | ValueError]]:
    """Yield the name and the image of each item. Name and phrases, which need not travel, are put into ``asked``."""
    for index, item in enumerate(images):
        place = f'images[{index}]'
        if phrases is not None:
            image, own = item, phrases
        elif isinstance(item, (tuple, list)) and len(item) == 2:
            image, own = item
        else:
            raise ValueError(
                f'{place} is {reprlib.repr(item)}, expected a pair (image, phrases), since phrases is None'
            )
        name = os.fsdecode(image) if isinstance(image, (str, os.PathLike)) else place
        asked.append((name, own))
        yield name, _portable(image, name)


def _portable(image: AnyImage, name: str) -> AnyImage | ValueError:
    """Return an image as any process can take it, since what cannot be pickled would never arrive, without a word.

    Files are read where they arrive. Pixels are made RGB here, or the error is returned.
    """
    if isinstance(image, (str, os.PathLike)):
        return name
    if isinstance(image, bytes):
        return image
    try:
        return any_image(image)[0]
    except ValueError as error:
        return ValueError(f'{name}: {error}')


def _found(
    grounder: 'Grounder',
    prepared_images: Iterable[PreparedImage | ValueError],
    asked: deque[tuple[str, Iterable[str]]],
    on_error: str,
) -> Iterator[tuple[str, Grounding | ValueError]]:
    for prepared in prepared_images:
        name, phrases = asked.popleft()
        try:
            if isinstance(prepared, ValueError):
                raise prepared
            found = grounder.read(prepared).ground(phrases)
        except ValueError as error:
            if on_error == 'raise':
                raise
            found = error
        yield name, found
