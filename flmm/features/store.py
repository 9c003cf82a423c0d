"""Features on disk: shards of samples that the frozen parts have read, with all that training needs of them.

    <folder>/store.json                    what the features were made with, and how many shards there are
    <folder>/shard_00000.safetensors       tensors of the samples of up to 64 images
    <folder>/shard_00000.pictures.json     size, time stamp and SHA-256 of the files of these images
    <folder>/shard_00000.json              the rest of these samples; written last

A shard that lacks one of its files is done again: so is what an interruption leaves. Processes that write different
shards do not meet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from flmm.atomic_write import remove_unfinished, write_json
from flmm.features.file_state import FileState
from flmm.features.made_with import MadeWith
from flmm.features.pictures import PICTURES, check_pictures, check_unchanged
from flmm.features.records import StoredSample, from_record, to_records
from flmm.features.shards import (
    IMAGES_PER_SHARD,
    missing_shards,
    read_json,
    read_tensor,
    shard_file,
    write_tensors,
)
from flmm.structures import GroundingSample


class FeatureStore:
    """A folder of features.

    Args:
        folder: where it is, or is to be made.
        made_with: what the features depend on.
        pictures: how pictures are compared with those that the features were made from. 'stat' takes a local picture
            for the same if its size and time stamp are, or else its content; 'content' reads every picture; 'unchecked'
            compares none, for training where they are not.

    Raises:
        ValueError: ``pictures`` is none of the three.

    >>> store = FeatureStore('work_dirs/features/train', made_with=made_with)
    >>> store.check()
    >>> sample = store.read(store.records()[0])
    """

    def __init__(self, folder: str | Path, *, made_with: MadeWith, pictures: str = 'stat') -> None:
        if pictures not in PICTURES:
            raise ValueError(f'pictures is {pictures!r}, expected one of {PICTURES}')
        self.folder = Path(folder)
        self.made_with = made_with
        self.pictures = pictures

    def open_to_write(self, *, num_images: int) -> list[int]:
        """Start the store, or go on with one that was made with the same, the pictures of its shards included.

        Args:
            num_images: how many images it will have, ``IMAGES_PER_SHARD`` to a shard.

        Returns:
            The shards that are still to be written.

        Raises:
            ValueError: the folder holds features made with something else.
        """
        num_shards = -(-num_images // IMAGES_PER_SHARD)
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._document_file.exists():
            self.check()
            if self._document['num_shards'] != num_shards:
                raise ValueError(
                    f'features in {str(self.folder)!r} are to be {self._document["num_shards"]} shards, and the '
                    f'{num_images} images of the dataset make {num_shards}; make them again in another folder'
                )
        else:
            write_json(self._document_file, {**self.made_with.describe(), 'num_shards': num_shards})
        return self._missing()

    def read_pictures(self, paths: Sequence[str]) -> dict[str, FileState]:
        """Read the states of pictures, to be done before their features are made.

        Raises:
            ValueError: a picture is missing or cannot be read.
        """
        return {path: FileState.read(path, backend_args=self.made_with.backend_args) for path in paths}

    def write(
        self, shard: int, samples: Sequence[StoredSample], *, pictures: Mapping[str, FileState], dtype: str
    ) -> None:
        """Write a shard.

        Args:
            shard: its number.
            samples: all samples of the shard's images.
            pictures: states of the files of these images, from before they were read, by path.
            dtype: precision of attentions and image embeddings.

        Raises:
            ValueError: a number is too large for ``dtype``, a sample has no truth, or a picture has changed since its
                state was read.
        """
        records, tensors = to_records(samples, dtype=dtype)
        for record in records:
            record['image_path'] = self.made_with.name_of(record['image_path'])
        named = [{'path': self.made_with.name_of(path), **asdict(state)} for path, state in pictures.items()]
        check_unchanged(pictures, backend_args=self.made_with.backend_args)
        write_tensors(shard_file(self.folder, shard, '.safetensors'), tensors)
        write_json(shard_file(self.folder, shard, '.pictures.json'), named)
        write_json(shard_file(self.folder, shard, '.json'), records)
        if not self._missing():
            remove_unfinished(self.folder)

    def check(self) -> None:
        """Compare what the features were made with: settings, files, and the pictures of all shards that are written.

        Raises:
            ValueError: there are none, or they were made with something else; the message names what differs.
        """
        if not self._document_file.exists():
            raise ValueError(f'{str(self.folder)!r} holds no features; make them with tools/cache_features.py')
        difference = self.made_with.difference(self._document)
        if difference:
            raise ValueError(
                f'features in {str(self.folder)!r} were made with another {difference}; make them again in another '
                'folder'
            )
        if self.pictures == 'unchecked':
            return
        written = sorted(set(range(self._document['num_shards'])) - set(self._missing()))
        states = {
            self.made_with.path_of(picture.pop('path')): FileState(**picture)
            for shard in written
            for picture in read_json(shard_file(self.folder, shard, '.pictures.json'))
        }
        content, backend_args = self.pictures == 'content', self.made_with.backend_args
        check_pictures(states, folder=self.folder, content=content, backend_args=backend_args)

    def records(self) -> list[dict[str, Any]]:
        """Read what describes the samples and says where their tensors are.

        Raises:
            ValueError: some shards are missing.
        """
        num_shards, missing = self._document['num_shards'], self._missing()
        if missing:
            raise ValueError(
                f'{len(missing)} of {num_shards} shards are missing in {str(self.folder)!r}; run '
                'tools/cache_features.py again, it goes on where it stopped'
            )
        return [
            {**record, 'image_path': self.made_with.path_of(record['image_path']), 'shard': shard, 'number': number}
            for shard in range(num_shards)
            for number, record in enumerate(read_json(shard_file(self.folder, shard, '.json')))
        ]

    def read(self, record: dict[str, Any]) -> GroundingSample:
        """Read the sample of one of the :meth:`records`; see :func:`from_record`."""
        return from_record(record, partial(read_tensor, shard_file(self.folder, record['shard'], '.safetensors')))

    @property
    def _document_file(self) -> Path:
        return self.folder / 'store.json'

    @cached_property
    def _document(self) -> dict[str, Any]:
        return read_json(self._document_file)

    def _missing(self) -> list[int]:
        return missing_shards(self.folder, self._document['num_shards'])
