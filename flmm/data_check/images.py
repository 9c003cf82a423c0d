"""Checks one image after the other, with all that any dataset says of it. Every picture is read once."""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from torch.utils.data import Dataset

from flmm.data_check.findings import ImageFindings, ItemFindings
from flmm.data_check.problems import Problem, logged_warnings
from flmm.data_check.sources import Source
from flmm.datasets import PILLoadImageFromFile
from flmm.text import WordlessPhraseError

TINY_AREA = 2
"""In px."""
WHOLE_SHARE = 0.99
"""Of the image."""


class ImageChecks(Dataset):
    """Item i is what is found at image i, an :class:`ImageFindings`.

    Args:
        sources: the datasets, of :func:`flmm.data_check.find_sources`.
        headers_only: True reads no pixels: damage behind the header of a picture is not found.
    """

    def __init__(self, sources: Sequence[Source], *, headers_only: bool = False) -> None:
        self.sources, self.headers_only = sources, headers_only
        places: dict[str, list[tuple[int, int]]] = {}
        for number, source in enumerate(sources):
            for index in range(len(source.dataset)):
                path = BaseDataset.get_data_info(source.dataset, index)['img_path']
                places.setdefault(path, []).append((number, index))
        self.paths, self.places = list(places), list(places.values())

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> ImageFindings:
        return _Image(self, self.paths[index]).check(self.places[index])


class _Image:
    """The check of one image."""

    def __init__(self, checks: ImageChecks, path: str) -> None:
        self.sources, self.headers_only, self.path = checks.sources, checks.headers_only, path
        self.identity: bytes | str = path
        self.read: dict[str, tuple[int, int] | ValueError] = {}  # size or error, by the settings of reading
        self.problems: dict[tuple, list[str]] = {}

    def check(self, places: list[tuple[int, int]]) -> ImageFindings:
        items = [self._check_item(number, self.sources[number], index) for number, index in places]
        problems = [
            Problem(kind=kind, message=message, datasets=tuple(dict.fromkeys(labels)), image=self.path, entry=entry)
            for (kind, message, entry), labels in self.problems.items()
        ]
        size = next((size for size in self.read.values() if isinstance(size, tuple)), None)
        return ImageFindings(identity=self.identity, size=size, items=items, problems=problems)

    def _found(self, kind: str, message: object, source: Source, entry: str | None = None) -> None:
        self.problems.setdefault((kind, str(message), entry), []).append(source.label)

    def _check_item(self, number: int, source: Source, index: int) -> ItemFindings:
        item = source.dataset.get_data_info(index)
        instances = item['instances']
        found = ItemFindings(
            source=number,
            infos=item['phrase_infos'],
            num_no_target=sum(instance['mask'] is None for instance in instances),
            num_several=sum(isinstance(i['ann_id'], (list, tuple)) and len(i['ann_id']) > 1 for i in instances),
        )
        size = self._size(source, item)
        if size is not None:
            try:
                found.image_tokens = source.image_processor.num_image_tokens(*size)
            except ValueError as error:
                self._found('image refused', f'image {self.path!r}: {error}; crop it, or leave it out', source)
            if source.load_masks is not None:
                found.shares = self._check_masks(source, instances, size, item.get('annotated_size', size))
        found.lengths = self._check_phrases(source, index, item)
        return found

    def _size(self, source: Source, item: dict) -> tuple[int, int] | None:
        """Read the picture; return its size, or the annotated one where the picture is not the annotated one."""
        settings = str(vars(source.load_image))
        if settings not in self.read:
            try:
                self.read[settings] = self._read_picture(source.load_image)
            except ValueError as error:
                self.read[settings] = error
        size, annotated = self.read[settings], item.get('annotated_size')
        if isinstance(size, ValueError):
            self._found('image absent' if _is_absent(size) else 'image unreadable', size, source)
            return annotated
        if annotated is None or source.load_masks is None:
            return size
        try:
            source.load_masks.transform(self._results([], size, annotated))
        except ValueError as error:
            self._found('image size', error, source)
            return annotated
        return size

    def _read_picture(self, load_image: PILLoadImageFromFile) -> tuple[int, int]:
        if self.headers_only:
            return load_image.read_size(self.path)
        loaded = load_image.transform({'img_path': self.path})
        size = (loaded['height'], loaded['width'])
        self.identity = hashlib.blake2b(f'{size}'.encode() + loaded['image'].tobytes(), digest_size=12).digest()
        return size

    def _results(self, instances: list[dict], size: tuple[int, int], annotated_size: tuple[int, int]) -> dict:
        return {
            'img_path': self.path,
            'height': size[0],
            'width': size[1],
            'annotated_size': annotated_size,
            'instances': instances,
        }

    def _check_masks(
        self, source: Source, instances: list[dict], size: tuple[int, int], annotated_size: tuple[int, int]
    ) -> list[float]:
        """Decode each mask once, whatever number of phrases means it; return the shares of the image."""
        distinct: dict[tuple[int, int], tuple[int, dict]] = {}
        for index, instance in enumerate(instances):
            if instance['mask'] is not None or instance['ignore'] is not None:
                distinct.setdefault((id(instance['mask']), id(instance['ignore'])), (index, instance))
        together = [instance for _, instance in distinct.values()]
        with logged_warnings() as warnings:
            try:
                areas = self._areas(source, together, size, annotated_size)
            except ValueError:  # one by one, for all that are wrong
                areas = [self._area(source, *placed, size, annotated_size) for placed in distinct.values()]
        for message in dict.fromkeys(warnings):
            self._found('left out', message, source)
        shares = []
        for instance, area in zip(together, areas, strict=True):
            if instance['mask'] is None or area is None:
                continue
            share, entry = area / (size[0] * size[1]), f'annotation {instance["ann_id"]}'
            shares.append(share)
            what = f'the mask of {entry} of image {self.path!r} has {area} px of {size[0] * size[1]}'
            if area <= TINY_AREA:
                self._found('tiny mask', what, source, entry)
            elif share >= WHOLE_SHARE:
                self._found('mask of everything', what, source, entry)
        return shares

    def _area(
        self, source: Source, index: int, instance: dict, size: tuple[int, int], annotated_size: tuple[int, int]
    ) -> int | None:
        placed = [*({'mask': None} for _ in range(index)), instance]  # its number is in messages
        try:
            return self._areas(source, placed, size, annotated_size)[-1]
        except ValueError as error:
            kind = 'mask file absent' if _is_absent(error) else 'mask'
            self._found(kind, error, source, f'annotation {instance["ann_id"]}')
            return None

    def _areas(
        self, source: Source, instances: list[dict], size: tuple[int, int], annotated_size: tuple[int, int]
    ) -> list[int]:
        if not instances:
            return []
        masks = source.load_masks.transform(self._results(instances, size, annotated_size))['gt_masks'].masks
        return np.count_nonzero(masks, axis=(1, 2)).tolist()

    def _check_phrases(self, source: Source, index: int, item: dict) -> list[int]:
        """Make the longest sequence of an item; return how many tokens each phrase has that can be one."""
        texts = item['text']
        try:
            token_ids: list[tuple[int, ...] | None] = self._token_ids(source, texts)
            is_sequence = 'caption' not in item  # then it has been made, and what the config makes is no longer
        except ValueError:  # one by one, for all that are wrong
            token_ids = [self._token_ids_or_none(source, text) for text in texts]
            is_sequence = None in token_ids  # which is the reason
        in_caption = 'caption' in item and source.to_sample.concat  # whose other words tell which one is meant
        meant: dict[tuple[int, ...], tuple[str, Any]] = {}
        for text, ids, instance in zip(texts, token_ids, item['instances'], strict=True):
            first, mask = meant.setdefault(ids, (text, instance['mask'])) if ids else (text, instance['mask'])
            if mask != instance['mask'] and not in_caption:
                message = f'image {self.path!r} has the phrase {first!r} for several objects; which one is meant?'
                self._found('phrase twice', message, source, first)
        if not is_sequence:
            self._check_sequence(source, index, item, [len(ids) for ids in token_ids])
        return [len(ids) for ids in token_ids if ids is not None]

    def _token_ids(self, source: Source, texts: list[str]) -> list[tuple[int, ...]]:
        item = {'img_path': self.path, 'image': source.to_sample.image_processor.image, 'text': texts}
        made = source.to_sample.transform(item)
        samples = made if isinstance(made, list) else [made]
        return [
            tuple(sample.input_ids[sample.mask_ids == number].tolist())
            for sample in samples
            for number in range(sample.num_masks)
        ]

    def _token_ids_or_none(self, source: Source, text: str) -> tuple[int, ...] | None:
        try:
            return self._token_ids(source, [text])[0]
        except ValueError as error:
            kind = 'phrase without a word' if _is_by(error, WordlessPhraseError) else 'phrase'
            self._found(kind, error, source, text)
            return None

    def _check_sequence(self, source: Source, index: int, item: dict, lengths: Sequence[int]) -> None:
        """Make the sequences that the config makes; the longest that may come, where texts are drawn at random."""
        item = {**item, 'image': source.to_sample.image_processor.image}
        if source.draws_texts:
            targets = BaseDataset.get_data_info(source.dataset, index)['targets']
            pairs = iter(zip(lengths, item['text'], strict=True))
            groups = [list(itertools.islice(pairs, len(target.texts))) for target in targets]
            item['text'] = [max(group, key=lambda pair: pair[0])[1] for group in groups]
            del item['phrase_infos']
        try:
            source.to_sample.transform(item)
        except ValueError as error:
            self._found('sequence', error, source)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _is_by(error: ValueError, kind: type[Exception]) -> bool:
    return any(isinstance(cause, kind) for cause in _causes(error))


def _is_absent(error: ValueError) -> bool:
    return _is_by(error, FileNotFoundError)
