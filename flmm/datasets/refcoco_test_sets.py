"""All the test sets of a RefCOCO or of gRefCOCO: every split, under both protocols that the literature scores."""

from collections.abc import Sequence
from typing import Any

from flmm.datasets.joint_dataset import JointDataset
from flmm.datasets.refcoco import RefCocoDataset, RefCocoFiles
from flmm.registry import DATASETS
from flmm.test_set_names import PROTOCOLS, join_name


@DATASETS.register_module()
class RefCocoTestSets(JointDataset):
    """One dataset for each split and protocol, tested in one run and reported apart (``<name>_<split>_<protocol>``).

    Protocols: 'first_sentence' takes the first sentence of each ref and puts all refs of an image into one sample, as
    F-LMM does; 'every_sentence' takes every sentence by itself, as LISA, GLaMM and later work do. Sentences that are
    read independently share a sample all the same: none sees another, and the image is handled once. The files of
    annotations are read once for all.

    Args:
        name: the dataset's, such as 'refcoco'.
        dataset_type: 'RefCocoDataset', or the name of a subclass, such as 'GRefCocoDataset'.
        splits: such as ('val', 'testA', 'testB').
        pipeline: configs of transforms that end in RefCOCO2PNG, whose ``concat`` follows from its ``independent`` and
            the protocol.
        protocols: which of the two.
        **kwargs: the dataset's: data_root, ann_file, split_file, data_prefix, ...

    Raises:
        ValueError: an unknown protocol or dataset_type, a pipeline that does not end in a config, or whatever the
            dataset raises.
    """

    def __init__(
        self,
        *,
        name: str,
        splits: Sequence[str],
        pipeline: list[dict],
        protocols: Sequence[str] = tuple(PROTOCOLS),
        dataset_type: str = 'RefCocoDataset',
        **kwargs: Any,
    ) -> None:
        unknown = set(protocols) - set(PROTOCOLS)
        if unknown:
            raise ValueError(f'protocols {sorted(unknown)} are unknown, expected some of {list(PROTOCOLS)}')
        dataset_class = DATASETS.get(dataset_type)
        if dataset_class is None or not issubclass(dataset_class, RefCocoDataset):
            raise ValueError(
                f'dataset_type is {dataset_type!r}, expected RefCocoDataset or a subclass, such as GRefCocoDataset'
            )
        if not pipeline or not isinstance(pipeline[-1], dict):
            raise ValueError(
                f'pipeline ends in {pipeline[-1:]!r}, expected the config of RefCOCO2PNG, whose concat is chosen here'
            )
        *loading, to_sample = pipeline
        independent = to_sample.get('independent', True)  # RefCOCO2PNG's default
        files = RefCocoFiles()
        super().__init__(
            datasets=[
                dataset_class(
                    name=join_name(name, split, protocol),
                    split=split,
                    text_mode=PROTOCOLS[protocol],
                    pipeline=[*loading, {**to_sample, 'concat': independent or protocol == 'first_sentence'}],
                    test_mode=True,
                    files=files,
                    **kwargs,
                )
                for split in splits
                for protocol in protocols
            ]
        )
