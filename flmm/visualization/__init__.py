"""Pictures of what the model does.

Names are imported when first used: those of ``figures`` need mmdet, and pictures of layouts should not wait for it.
"""

from flmm.lazy_exports import lazy_exports

_MODULE_OF = {
    'PhrasePage': 'figures',
    'attention_map': 'figures',
    'draw_heads': 'heads_figure',
    'draw_page': 'figures',
    'draw_phrases': 'figures',
    'draw_selection': 'selection_figure',
    'draw_tokens': 'patch_grid',
    'phrase_page': 'figures',
    'rebuild_image': 'patch_grid',
    'save_figure': 'save',
    'spotlight_mask': 'figures',
}
__all__ = list(_MODULE_OF)
__getattr__ = lazy_exports(__name__, _MODULE_OF)
