"""Scenes on disk, in the layouts of RefCOCO and gRefCOCO."""

import json
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flmm.atomic_write import open_atomic
from flmm.shapes.coco import CATEGORY_IDS, annotation, check_unique, write_image, write_json
from flmm.shapes.expressions import Reference
from flmm.shapes.generate import SceneSample


def write_refcoco(
    root: str | Path, splits: Mapping[str, Iterable[SceneSample]], *, image_folder: str = 'images'
) -> dict[str, int]:
    """Write the images, and their references as RefCOCO and as gRefCOCO lie on disk.

    ``refcoco/instances.json`` and ``refcoco/refs(unc).p`` hold references to one shape. mmdet reads them with
    ``RefCocoDataset(data_root=root, ann_file='refcoco/instances.json', split_file='refcoco/refs(unc).p',
    data_prefix=dict(img_path='images/'), split=...)``. ``grefcoco/grefs(shapes).json`` also holds those to several
    shapes and to none, whose ``ann_id`` and ``category_id`` are lists, ``[-1]`` for none; its ``instances.json`` is the
    same. Beyond both layouts, each sentence has its ``kind``.

    A mask is stored as the polygon of its shape where that reproduces it (IoU >= 0.98 under pycocotools), else, that is
    when hidden in part or with a hole, exactly, as compressed RLE. ``area`` and ``bbox`` are always those of the
    visible pixels.

    Args:
        root: folder to write into; made if absent.
        splits: scenes by split name; each is consumed once, so generators do.
        image_folder: name of the folder of JPEG images under ``root``.

    Returns:
        Number of references to one shape by split.

    Raises:
        ValueError: two scenes have one image id.
    """
    root = Path(root)
    images, annotations, refs, grefs = [], [], [], []
    counts = dict.fromkeys(splits, 0)
    num_sentences = num_generalized = 0
    for split, samples in splits.items():
        for sample in samples:
            images.append(write_image(root / image_folder, sample))
            annotation_ids = {}
            for index, (shape, mask) in enumerate(zip(sample.scene.shapes, sample.masks, strict=True)):
                if mask.any():
                    annotation_ids[index] = len(annotations) + 1
                    annotations.append(annotation(annotation_ids[index], sample.image_id, shape, mask))
            for reference in sample.references:
                ref = _ref(reference, sample, split, ref_id=len(refs), first_sent_id=num_sentences)
                (index,) = reference.shape_indices
                ref['file_name'] = f'{sample.image_id:012d}_{index}.jpg'
                ref['ann_id'], ref['category_id'] = annotation_ids[index], ref['category_id'][0]
                refs.append(ref)
                num_sentences += len(ref['sentences'])
                counts[split] += 1
            for reference in sample.generalized_references:
                gref = _ref(reference, sample, split, ref_id=len(grefs), first_sent_id=num_generalized)
                gref['ann_id'] = [annotation_ids[index] for index in reference.shape_indices] or [-1]
                gref['no_target'] = not reference.shape_indices
                for sentence in gref['sentences']:
                    sentence['exist'] = bool(reference.shape_indices)
                grefs.append(gref)
                num_generalized += len(gref['sentences'])
    check_unique(images)
    categories = [{'id': id_, 'name': kind, 'supercategory': 'shape'} for kind, id_ in CATEGORY_IDS.items()]
    instances = {
        'info': {}, 'licenses': [], 'images': images, 'annotations': annotations, 'categories': categories
    }  # fmt: skip
    for folder in ('refcoco', 'grefcoco'):
        (root / folder).mkdir(parents=True, exist_ok=True)
        write_json(root / folder / 'instances.json', instances)
    with open_atomic(root / 'refcoco' / 'refs(unc).p') as file:
        # Through JSON: a pickle also records which equal strings are one object, which depends on who drew the scene.
        pickle.dump(json.loads(json.dumps(refs)), file, protocol=2)
    write_json(root / 'grefcoco' / 'grefs(shapes).json', grefs)
    return counts


def _ref(reference: Reference, sample: SceneSample, split: str, *, ref_id: int, first_sent_id: int) -> dict[str, Any]:
    """Give what the refs of both layouts say, in the order of RefCOCO's keys; ``ann_id`` is left open."""
    sent_ids = range(first_sent_id, first_sent_id + len(reference.sentences))
    return {
        'sent_ids': list(sent_ids),
        'file_name': f'{sample.image_id:012d}.jpg',
        'ann_id': None,
        'ref_id': ref_id,
        'image_id': sample.image_id,
        'split': split,
        'sentences': [
            {'tokens': text.split(), 'raw': text, 'sent_id': sent_id, 'sent': text, 'kind': sentence.kind}
            for sent_id, sentence in zip(sent_ids, reference.sentences, strict=True)
            for text in [sentence.text]
        ],
        'category_id': [CATEGORY_IDS[sample.scene.shapes[index].kind] for index in reference.shape_indices] or [-1],
    }
