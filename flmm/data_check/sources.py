"""The datasets of a config, each built by itself, so that one that fails hides no other."""

import copy
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from PIL import Image

from flmm.data_check.problems import Problem, logged_warnings
from flmm.data_check.video_source import VideoSource, video_source
from flmm.datasets import (
    GroundingDataset,
    ImageProcessorWrapper,
    LoadMasks,
    PILLoadImageFromFile,
    RefCOCO2PNG,
    RefVideoDataset,
    TokenBatchSampler,
)
from flmm.datasets.image_processor import ProcessedImage
from flmm.registry import DATASETS, is_type


class BlankImage:
    """Stands for an image processor where text alone is checked: for every image it gives one that is blank.

    Args:
        image_processor: whose tokenizer and prompt are used.
        prompt: the user's turn.
    """

    def __init__(self, image_processor: ImageProcessorWrapper, *, prompt: str) -> None:
        self.image = Image.new('RGB', (64, 64))
        self.encode_text = image_processor.encode_text
        self.image_token_id = image_processor.image_token_id
        self._processed = image_processor.preprocess(self.image, prompt=prompt)

    def preprocess(self, image: Image.Image, *, prompt: str) -> ProcessedImage:
        """Return the blank image with its prompt."""
        return self._processed


@dataclass(kw_only=True)
class Source:
    """A dataset, and the steps of its pipeline.

    Args:
        label: loader and name of the dataset, such as 'val/refcoco_val_first_sentence'.
        loader: 'train', 'val' or 'test'.
        dataset: gives every text that may become a phrase.
        load_image: reads its images.
        load_masks: decodes its masks; None where the pipeline loads none.
        to_sample: makes sequences of its phrases, with a :class:`BlankImage`.
        image_processor: the processor of the LMM.
        draws_texts: whether the config draws one text of each target at random.
    """

    label: str
    loader: str
    dataset: GroundingDataset
    load_image: PILLoadImageFromFile
    load_masks: LoadMasks | None
    to_sample: RefCOCO2PNG
    image_processor: ImageProcessorWrapper
    draws_texts: bool


def find_sources(config: Config, loaders: Sequence[str]) -> tuple[list[Source | VideoSource], list[Problem]]:
    """Build the datasets of some loaders; what wraps datasets (JointDataset, CachedFeatures, ...) is looked into.

    Args:
        config: A whole config, as :func:`flmm.config.read_config` gives it.
        loaders: The loaders whose datasets are wanted, some of 'train', 'val' and 'test'.

    Returns:
        The datasets that can be built, and why others cannot, or not beside each other or under their sampler.
    """
    sources: dict[str, Source | VideoSource] = {}
    problems = []
    for loader in loaders:
        settings = config[f'{loader}_dataloader']
        by_tokens = is_type(settings.get('batch_sampler') or {}, TokenBatchSampler)
        for part in _parts(settings['dataset']):
            with logged_warnings() as warnings:
                for name, result in _build(part):
                    label = _unique(f'{loader}/{name}', sources)
                    try:
                        if isinstance(result, Exception):
                            raise result
                        source = _source(result, label=label, loader=loader)
                        if source is not None and by_tokens:
                            result.num_image_tokens()
                    except (ValueError, TypeError, KeyError) as error:
                        problems.append(Problem(kind='dataset', message=str(error), datasets=(label,)))
                        continue
                    if label != f'{loader}/{name}':
                        message = f'several datasets of {loader} are named {name!r}; give each a name of its own'
                        problems.append(Problem(kind='dataset', message=message, datasets=(label,)))
                    if source is None:
                        message = (
                            f'{type(result).__name__} is no GroundingDataset that ends in RefCOCO2PNG, and no '
                            'RefVideoDataset that ends in ClipToSample'
                        )
                        problems.append(Problem(kind='not checked', message=message, datasets=(label,)))
                    else:
                        sources[label] = source
            problems += [Problem(kind='left out', message=text, datasets=(f'{loader}',)) for text in warnings]
    return list(sources.values()), problems


def _parts(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Find the configs of datasets within those that wrap or join them."""
    if 'datasets' in config:
        shared = {} if config.get('pipeline') is None else {'pipeline': config['pipeline']}
        for part in config['datasets']:
            yield from _parts({**shared, **part})
    elif isinstance(config.get('dataset'), dict):
        yield from _parts(config['dataset'])
    else:
        yield config


def _build(config: dict[str, Any]) -> list[tuple[str, BaseDataset | Exception]]:
    """Build what a config names: one dataset, or one for each split and protocol; each with its name."""
    try:
        built = DATASETS.build(config)
    except (ValueError, TypeError, KeyError) as error:  # a setting that the class lacks; a type that nobody has
        splits = config.get('splits', ())
        if len(splits) > 1:  # each by itself, for those that can be built
            return [result for split in splits for result in _build({**config, 'splits': [split]})]
        given = [config[key] for key in ('name', 'split') if config.get(key) is not None]
        return [('_'.join([*given[:1], *splits]) or str(config.get('type')), error)]
    datasets = getattr(built, 'datasets', [built])
    return [(getattr(dataset, 'name', type(dataset).__name__), dataset) for dataset in datasets]


def _source(dataset: BaseDataset, *, label: str, loader: str) -> Source | VideoSource | None:
    if isinstance(dataset, RefVideoDataset):
        return video_source(dataset, label=label, loader=loader)
    steps = dataset.pipeline.transforms if isinstance(dataset, GroundingDataset) else []
    load_image = next((step for step in steps if isinstance(step, PILLoadImageFromFile)), None)
    if load_image is None or not isinstance(steps[-1], RefCOCO2PNG):
        return None
    dataset.full_init()
    draws_texts = dataset.text_mode == 'random'
    if draws_texts:
        dataset.text_mode = 'original'
    to_sample = copy.copy(steps[-1])
    to_sample.image_processor = BlankImage(to_sample.image_processor, prompt=to_sample.prompt)
    return Source(
        label=label,
        loader=loader,
        dataset=dataset,
        load_image=load_image,
        load_masks=next((step for step in steps if isinstance(step, LoadMasks)), None),
        to_sample=to_sample,
        image_processor=steps[-1].image_processor,
        draws_texts=draws_texts,
    )


def _unique(label: str, taken: Container[str]) -> str:
    number, found = 1, label
    while found in taken:
        number, found = number + 1, f'{label} ({number + 1})'
    return found
