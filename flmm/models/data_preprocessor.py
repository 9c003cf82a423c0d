"""Samples on their way to the model's device."""

from typing import Any

from mmengine.model import BaseDataPreprocessor

from flmm.registry import MODELS
from flmm.structures import GroundingSample


@MODELS.register_module()
class GroundingDataPreprocessor(BaseDataPreprocessor):
    """Moves samples to the model's device."""

    def cast_data(self, data: Any) -> Any:
        """Move ``data``, where samples may lie in the lists and dicts that mmengine knows."""
        return data.to(self.device) if isinstance(data, GroundingSample) else super().cast_data(data)
