"""Pictures of what the model does.

Names are imported when first used: those of ``figures`` need mmdet, and pictures of layouts should not wait for it.
"""

from importlib import import_module
from typing import Any

_MODULE_OF = {
    'attention_map': 'figures',
    'draw_heads': 'figures',
    'draw_phrases': 'figures',
    'draw_selection': 'selection_figure',
    'draw_tokens': 'patch_grid',
    'rebuild_image': 'patch_grid',
    'save_figure': 'save',
    'spotlight_mask': 'figures',
}
__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(f'{__name__}.{_MODULE_OF[name]}'), name)
