"""All the test sets of a RefCOCO: every split, under both protocols that the literature scores."""

from collections.abc import Sequence
from typing import Any

from flmm.datasets.joint_dataset import JointDataset
from flmm.datasets.refcoco import RefCocoDataset, RefCocoFiles
from flmm.registry import DATASETS

PROTOCOLS = {'first_sentence': 'select_first', 'every_sentence': 'original'}
"""Protocol -> text_mode."""


@DATASETS.register_module()
class RefCocoTestSets(JointDataset):
    """One dataset for each split and protocol, tested in one run and reported apart (``<name>_<split>_<protocol>``).

    Protocols: 'first_sentence' takes the first sentence of each ref and puts all refs of an image into one forward, as
    F-LMM does; 'every_sentence' takes every sentence in a forward of its own, as LISA, GLaMM and later work do. The
    files of annotations are read once for all.

    Args:
        name: the dataset's, such as 'refcoco'.
        splits: such as ('val', 'testA', 'testB').
        pipeline: configs of transforms that end in RefCOCO2PNG, whose ``concat`` follows the protocol.
        protocols: which of the two.
        **kwargs: RefCocoDataset's: data_root, ann_file, split_file, data_prefix, ...

    Raises:
        ValueError: an unknown protocol, or whatever RefCocoDataset raises.
    """

    def __init__(
        self,
        *,
        name: str,
        splits: Sequence[str],
        pipeline: list[dict],
        protocols: Sequence[str] = tuple(PROTOCOLS),
        **kwargs: Any,
    ) -> None:
        unknown = set(protocols) - set(PROTOCOLS)
        if unknown:
            raise ValueError(f'protocols {sorted(unknown)} are unknown, expected some of {list(PROTOCOLS)}')
        *loading, to_sample = pipeline
        files = RefCocoFiles()
        super().__init__(
            datasets=[
                RefCocoDataset(
                    name=f'{name}_{split}_{protocol}',
                    split=split,
                    text_mode=PROTOCOLS[protocol],
                    pipeline=[*loading, {**to_sample, 'concat': protocol == 'first_sentence'}],
                    test_mode=True,
                    files=files,
                    **kwargs,
                )
                for split in splits
                for protocol in protocols
            ]
        )
