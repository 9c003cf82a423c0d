"""How the parts of a config come together: its LMM in the model, its image processor in every pipeline."""

from collections.abc import Mapping
from typing import Any


def assemble(
    base: Mapping[str, Any],
    *,
    image_processor: Mapping[str, Any] | None = None,
    train_image_processor: Mapping[str, Any] | None = None,
) -> tuple[dict, dict, dict, dict]:
    """Put together what the files in ``configs/_base_`` say apart; called by a config, as its last line.

    >>> _base_ = ['../_base_/f_lmm_refcoco.py', '../_base_/lmms/qwen2_5_vl_3b.py']
    >>> model, train_dataloader, val_dataloader, test_dataloader = assemble(_base_)

    What was put together before does not change with the variables: a config that is based on such a one, and has
    another image processor, calls this again.

    Args:
        base: the config's ``_base_``, with ``frozen_lmm`` (the type of the model), ``lmm``, ``image_processor``,
            ``loading`` (the pipeline's first steps) and ``to_sample`` (its last one, without the image processor). Of
            videos also with ``to_clip`` (ClipToSample, without ``to_sample``, which then makes what is read of a clip),
            and with ``train_to_clip`` where that is another in training.
        image_processor: What reads images everywhere; None takes the base's.
        train_image_processor: What reads images in training; None takes the one above.

    Returns:
        What ``model`` and the loaders for training, validation and testing have beside the base's.

    Raises:
        ValueError: the base lacks one of the five.
    """
    missing = [name for name in ('frozen_lmm', 'lmm', 'image_processor', 'loading', 'to_sample') if name not in base]
    if missing:
        raise ValueError(
            f'_base_ says nothing of {", ".join(missing)}; add files of configs/_base_ that do, such as one of lmms'
        )
    image_processor = image_processor or base['image_processor']
    to_clip = base.get('to_clip')
    train, test = (
        {'dataset': {'pipeline': [*base['loading'], _last_step(base['to_sample'], reader, clip)]}}
        for reader, clip in (
            (train_image_processor or image_processor, base.get('train_to_clip', to_clip)),
            (image_processor, to_clip),
        )
    )
    return {'type': base['frozen_lmm'], 'lmm': base['lmm']}, train, test, test


def _last_step(
    to_sample: Mapping[str, Any], image_processor: Mapping[str, Any], to_clip: Mapping[str, Any] | None
) -> dict[str, Any]:
    step = {**to_sample, 'image_processor': image_processor}
    return step if to_clip is None else {**to_clip, 'to_sample': step}
