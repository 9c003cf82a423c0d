"""Features on disk: shards of samples that the frozen parts have read, with all that training needs of them.

    <folder>/store.json                    what the features were made with, and how many shards there are
    <folder>/shard_00000.safetensors       tensors of the samples of up to 64 images
    <folder>/shard_00000.pictures.json     size, time stamp and SHA-256 of the files of these images
    <folder>/shard_00000.json              the rest of these samples; written last

A shard that lacks one of its files is done again: so is what an interruption leaves. Processes that write different
shards do not meet.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch
from pycocotools import mask as coco_mask
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from flmm.datasets.made_with import MadeWith
from flmm.datasets.stored_pictures import PICTURES, check_pictures, listed
from flmm.file_state import FileState, compare_files
from flmm.fingerprint import first_difference
from flmm.geometry import image_to_processed
from flmm.structures import FrozenFeatures, GroundingSample

IMAGES_PER_SHARD = 64
DTYPES = {'float16': torch.float16, 'bfloat16': torch.bfloat16, 'float32': torch.float32}
ATTENTION_SCALE = 2**15
"""Attention is at most 1 and mostly far below: in float16 it would lose digits under 6e-5."""
UNFINISHED = '.unfinished'
SHARD_ENDINGS = ('.safetensors', '.pictures.json', '.json')
PLAIN_FIELDS = ('image_token_id', 'phrases', 'phrase_kinds', 'meta_data', 'image_path', 'dataset_name', 'sample_idx')
TENSOR_FIELDS = ('input_ids', 'mask_ids', 'image_grid_thw', 'image_layout')


@dataclass(kw_only=True)
class StoredSample:
    """A sample with its features, and its place.

    Args:
        item: which item of the dataset it comes from.
        draw: which drawing of that item's sentences.
        is_list: whether the item is a list of samples.
        sample: with ``features``.
    """

    item: int
    draw: int
    is_list: bool
    sample: GroundingSample


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
        if self._file('store').exists():
            self.check()
            if self._document['num_shards'] != num_shards:
                raise ValueError(
                    f'features in {str(self.folder)!r} are to be {self._document["num_shards"]} shards, and the '
                    f'{num_images} images of the dataset make {num_shards}; make them again in another folder'
                )
        else:
            document = {
                'made_with': self.made_with.settings,
                'files': self.made_with.read_files(),
                'num_shards': num_shards,
            }
            _write_json(self._file('store'), document)
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
            samples: all samples of the shard's images. The embedding of an image is stored once, for all samples that
                hold the same one.
            pictures: states of the files of these images, from before they were read, by path.
            dtype: precision of attentions and image embeddings; hidden states stay as they are.

        Raises:
            ValueError: a number is too large for ``dtype``, a sample has no truth, or a picture has changed since its
                state was read.
        """
        tensors: dict[str, Tensor] = {}
        embeddings: dict[int, dict[str, str]] = {}
        records = []
        for number, stored in enumerate(samples):
            sample, features = stored.sample, stored.sample.features
            if sample.gt_masks is None:
                raise ValueError(f'image {sample.image_path!r} has no truth masks; features are stored to train with')
            if id(features.image_embedding) not in embeddings:
                names = {part: f'{number}.image_embedding.{part}' for part in features.image_embedding}
                embeddings[id(features.image_embedding)] = names
                tensors |= {names[part]: tensor.to(DTYPES[dtype]) for part, tensor in features.image_embedding.items()}
            tensors[f'{number}.attentions'] = (features.attentions * ATTENTION_SCALE).to(DTYPES[dtype])
            tensors[f'{number}.hidden_states'] = features.hidden_states
            tensors |= {f'{number}.{name}': getattr(sample, name) for name in TENSOR_FIELDS}
            records.append(
                {
                    'item': stored.item,
                    'draw': stored.draw,
                    'is_list': stored.is_list,
                    'image_embedding': embeddings[id(features.image_embedding)],
                    'made_by': features.made_by,
                    'gt_masks': _encode_masks(sample.gt_masks),
                    **{name: getattr(sample, name) for name in PLAIN_FIELDS},
                    'image_path': self.made_with.name_of(sample.image_path),
                }
            )
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                path = samples[int(name.split('.')[0])].sample.image_path
                raise ValueError(f'{name.split(".")[1]} of {path!r} are not finite in {tensor.dtype}; take a wider one')
        found = compare_files(pictures.items(), backend_args=self.made_with.backend_args)
        if found.changed or found.absent:
            raise ValueError(
                f'while features were made of them, {listed(found.changed | found.absent)}; run '
                'tools/cache_features.py again, it goes on where it stopped'
            )
        path = self._file(shard, '.safetensors')
        unfinished = _unfinished(path)
        # Copies: samples of one image share tensors, which safetensors refuses.
        own = {name: tensor.cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
        save_file(own, unfinished)
        unfinished.rename(path)
        named = [{'path': self.made_with.name_of(path), **asdict(state)} for path, state in pictures.items()]
        _write_json(self._file(shard, '.pictures.json'), named)
        _write_json(self._file(shard), records)
        if not self._missing():  # nobody writes any more: what is unfinished was interrupted
            for left in self.folder.glob(f'*{UNFINISHED}'):
                left.unlink(missing_ok=True)

    def check(self) -> None:
        """Compare what the features were made with: settings, files, and the pictures of all shards that are written.

        Raises:
            ValueError: there are none, or they were made with something else; the message names what differs.
        """
        if not self._file('store').exists():
            raise ValueError(f'{str(self.folder)!r} holds no features; make them with tools/cache_features.py')
        difference = first_difference(self._document['made_with'], self.made_with.settings)
        if not difference:
            difference = ', '.join(self.made_with.changed_files(self._document['files']))
        if difference:
            raise ValueError(
                f'features in {str(self.folder)!r} were made with another {difference}; make them again in another '
                'folder'
            )
        if self.pictures != 'unchecked':
            self._check_pictures()

    def _check_pictures(self) -> None:
        missing = self._missing()
        written = [shard for shard in range(self._document['num_shards']) if shard not in missing]
        states = {
            self.made_with.path_of(picture.pop('path')): FileState(**picture)
            for shard in written
            for picture in json.loads(self._file(shard, '.pictures.json').read_text(encoding='utf-8'))
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
        records = []
        for shard in range(num_shards):
            of_shard = json.loads(self._file(shard).read_text(encoding='utf-8'))
            for number, record in enumerate(of_shard):
                record['image_path'] = self.made_with.path_of(record['image_path'])
                meta_data = record['meta_data']
                meta_data['scale_factor'] = tuple(meta_data['scale_factor'])  # JSON knows lists only
                records.append({**record, 'shard': shard, 'number': number})
        return records

    def read(self, record: dict[str, Any]) -> GroundingSample:
        """Read the sample of a record. It has no ``image`` and no ``pixel_values``; features are in float32.

        The hidden states stay in the dtype in which the LMM gave them.
        """
        path = self._file(record['shard'], '.safetensors')
        file = _opened(path, path.stat().st_mtime_ns)
        number = record['number']
        meta_data = record['meta_data']
        gt_masks = _decode_masks(record['gt_masks'], meta_data['original_shape'])
        return GroundingSample(
            **{name: file.get_tensor(f'{number}.{name}') for name in TENSOR_FIELDS},
            **{name: record[name] for name in PLAIN_FIELDS},
            pixel_values=None,
            image=None,
            masks=image_to_processed(gt_masks, meta_data),
            gt_masks=gt_masks,
            features=FrozenFeatures(
                attentions=file.get_tensor(f'{number}.attentions').float() / ATTENTION_SCALE,
                hidden_states=file.get_tensor(f'{number}.hidden_states'),
                image_embedding={
                    part: file.get_tensor(name).float() for part, name in record['image_embedding'].items()
                },
                made_by=record['made_by'],
            ),
        )

    @cached_property
    def _document(self) -> dict[str, Any]:
        return json.loads(self._file('store').read_text(encoding='utf-8'))

    def _missing(self) -> list[int]:
        shards = range(self._document['num_shards'])
        return [shard for shard in shards if not all(self._file(shard, end).exists() for end in SHARD_ENDINGS)]

    def _file(self, name: str | int, ending: str = '.json') -> Path:
        return self.folder / (f'shard_{name:05d}{ending}' if isinstance(name, int) else f'{name}{ending}')


@lru_cache(maxsize=128)
def _opened(path: Path, written_ns: int) -> Any:
    return safe_open(path, framework='pt')


def _write_json(path: Path, document: Any) -> None:
    unfinished = _unfinished(path)
    unfinished.write_text(json.dumps(document, indent=1), encoding='utf-8')
    unfinished.rename(path)


def _unfinished(path: Path) -> Path:
    """A name of its own for each writer: several processes may start the store."""
    return path.with_name(f'{path.name}.{uuid.uuid4().hex}{UNFINISHED}')


def _encode_masks(masks: Tensor) -> list[str]:
    columns = masks.to(torch.uint8).cpu().permute(1, 2, 0).numpy().copy(order='F')
    return [rle['counts'].decode('ascii') for rle in coco_mask.encode(columns)]


def _decode_masks(counts: list[str], shape: dict[str, int]) -> Tensor:
    size = [shape['height'], shape['width']]
    masks = coco_mask.decode([{'size': size, 'counts': count.encode('ascii')} for count in counts])
    return torch.from_numpy(masks).permute(2, 0, 1).bool().contiguous()
