"""Samples on their way to the model's device."""

from typing import Any

from mmengine.model import BaseDataPreprocessor

from flmm.clip_sample import ClipSample
from flmm.registry import MODELS
from flmm.structures import GroundingSample


@MODELS.register_module()
class GroundingDataPreprocessor(BaseDataPreprocessor):
    """Moves samples to the model's device."""

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 (mmengine)
        """Return the batch, on the model's device.

        Raises:
            ValueError: items were left out of the batch, and nobody has counted them.
        """
        if 'skipped_items' in data:
            raise ValueError(
                f'{len(data["skipped_items"])} items were left out of a batch, and nothing counts them here: '
                f'{data["skipped_items"][0]}; add SkippedItemsHook to default_hooks, or set max_skipped=0'
            )
        return super().forward(data, training)

    def cast_data(self, data: Any) -> Any:
        """Move ``data``, where samples may lie in the lists and dicts that mmengine knows."""
        return data.to(self.device) if isinstance(data, (GroundingSample, ClipSample)) else super().cast_data(data)
