"""How the fields of a grounding sample must fit together: checked once, when the sample is made."""

from typing import TYPE_CHECKING, Any

import torch

from flmm.image_view import ImageView

if TYPE_CHECKING:
    from flmm.structures import GroundingSample


def check_sample(sample: 'GroundingSample') -> None:
    """Refuse a sample whose fields do not fit together.

    Raises:
        ValueError: naming the image, what was found and what was expected.
    """
    _check_fields(sample)
    for number, view in enumerate(sample.views):
        _check_view(sample, number, view)
    columns, counts = torch.cat([view.columns for view in sample.views]).unique(return_counts=True)
    if int(counts.max()) > 1:
        raise ValueError(
            f'image {sample.image_path!r}: token {int(columns[counts.argmax()])} of the sequence is in the columns '
            f'of its views {int(counts.max())} times; a token shows one place in one view'
        )
    _check_prompt(sample, last_image_column=int(columns.max()))


def _check_fields(sample: 'GroundingSample') -> None:
    if not sample.phrases:
        raise ValueError(f'image {sample.image_path!r} has no phrase; leave it out of the dataset')
    if not sample.views:
        raise ValueError(f'image {sample.image_path!r} has no view; give at least one, with its tokens')
    if sample.features is None and (sample.image is None or sample.lmm_inputs is None):
        raise ValueError(
            f'image {sample.image_path!r}: image and lmm_inputs may be absent only where features are known'
        )
    if (sample.masks is None) != (sample.gt_masks is None):
        given, absent = ('gt_masks', 'masks') if sample.masks is None else ('masks', 'gt_masks')
        raise ValueError(
            f'image {sample.image_path!r} has {given} but {absent} is None; give both, or None for both where no '
            'truth is known'
        )
    mask_ids = sample.mask_ids[sample.mask_ids != -1].unique().tolist()
    image_size = sample.image_size if sample.image is None else (sample.image.height, sample.image.width)
    facts = [
        ('mask_ids has shape', tuple(sample.mask_ids.shape), tuple(sample.input_ids.shape), 'one id for each token'),
        ('its phrases have mask ids', mask_ids, list(range(sample.num_masks)), 'each phrase needs tokens of its own'),
        ('image has size', image_size, sample.image_size, 'the original shape of its views'),
        ('phrase_infos number', len(sample.phrase_infos), sample.num_masks, 'one for each phrase, or None'),
    ]
    frame = sample.meta_data['padded_shape']
    for name, truth, size, where in (
        ('masks', sample.masks, (frame['height'], frame['width']), 'a mask each, frame of the last view'),
        ('gt_masks', sample.gt_masks, image_size, 'a mask each, image frame'),
        ('ignore_masks', sample.ignore_masks, image_size, 'a mask each, image frame'),
    ):
        if truth is not None:
            facts.append((f'{name} has shape', tuple(truth.shape), (sample.num_masks, *size), where))
            facts.append((f'{name} has dtype', truth.dtype, torch.bool, 'True within the mask'))
    _refuse(sample, facts)


def _check_view(sample: 'GroundingSample', number: int, view: ImageView) -> None:
    try:
        view.layout.check()
    except ValueError as error:
        raise ValueError(f'image {sample.image_path!r}: {error}') from error
    original = sample.meta_data['original_shape']
    _refuse(
        sample,
        [
            (f'view {number} has columns', tuple(view.columns.shape), (len(view.layout),), 'one for each token'),
            (f'view {number} is of an image', view.meta_data['original_shape'], original, 'as the last view'),
        ],
    )
    inside = (view.columns >= 0) & (view.columns < len(sample.input_ids))
    if not bool(inside.all()) or bool((sample.mask_ids[view.columns] >= 0).any()):
        raise ValueError(
            f'image {sample.image_path!r}: view {number} has columns outside of the {len(sample.input_ids)} tokens of '
            'the sequence, or at tokens of phrases; expected those of its image tokens'
        )


def _check_prompt(sample: 'GroundingSample', *, last_image_column: int) -> None:
    if last_image_column >= sample.prompt_length or bool((sample.mask_ids[: sample.prompt_length] >= 0).any()):
        raise ValueError(
            f'image {sample.image_path!r}: its prompt is the first {sample.prompt_length} tokens, its image ends at '
            f'token {last_image_column}; expected all of the image in the prompt, and phrases only behind it'
        )
    if sample.independent and bool((sample.mask_ids[sample.prompt_length :] < 0).any()):
        raise ValueError(
            f'image {sample.image_path!r} has independent phrases, and text behind the prompt that belongs to none; '
            'leave it out, or set independent=False'
        )


def _refuse(sample: 'GroundingSample', facts: list[tuple[str, Any, Any, str]]) -> None:
    for name, found, expected, why in facts:
        if found != expected:
            raise ValueError(f'image {sample.image_path!r}: {name} {found}, expected {expected} ({why})')
