"""gRefCOCO, safely read."""

from typing import Any

from flmm.datasets.refcoco import RefCocoDataset, RefCocoFiles
from flmm.registry import DATASETS


@DATASETS.register_module()
class GRefCocoDataset(RefCocoDataset):
    """gRefCOCO (Liu et al., GRES, CVPR 2023): expressions that mean one object, several or none.

    The mask of several objects is the union of their annotations, those of crowds included; that of none is None. All
    else is RefCocoDataset's.

    Args:
        split_file: ``grefs(*).json``, or a pickle of the same list, below data_root.
        skip_no_target: True leaves out refs that mean nothing in the image, for models that cannot say so, and the log
            counts them.
        **kwargs: RefCocoDataset's: split, name, text_mode, data_root, ann_file (gRefCOCO's own ``instances.json``), ...

    Raises:
        ValueError: A fault that RefCocoDataset refuses; or -1 (no target) stands beside ids of annotations, or
            contradicts ``no_target``.

    >>> dataset = GRefCocoDataset(
    ...     data_root='data/coco',
    ...     ann_file='grefcoco/instances.json',
    ...     split_file='grefcoco/grefs(unc).json',
    ...     data_prefix={'img_path': 'train2014/'},
    ...     split='val',
    ...     text_mode='original',
    ... )
    """

    def __init__(self, *, skip_no_target: bool = False, **kwargs: Any) -> None:
        self.skip_no_target = skip_no_target
        super().__init__(**kwargs)

    def read_refs(self, files: RefCocoFiles) -> list[dict]:
        """Return the refs of all splits as the file has them."""
        return files.grefs(self.split_file)

    def targets_of(self, refs: list[dict]) -> list[dict]:
        """Return refs of the split with each of their annotations' ids once; those without target, if wanted."""
        kept = [
            {**ref, 'ann_id': list(dict.fromkeys(ref['ann_id']))}
            for ref in refs
            if ref['ann_id'] or not self.skip_no_target
        ]
        if not kept:
            raise ValueError(
                f'no ref in split {self.split!r} of {self.split_file!r} has a target; set skip_no_target to False'
            )
        repeated = sum(len(ref['ann_id']) - len(set(ref['ann_id'])) for ref in refs)
        left_out = {'refs without target': len(refs) - len(kept), 'ids that a ref has twice': repeated}
        self.log_left_out(left_out, source=repr(self.split_file))
        return kept
