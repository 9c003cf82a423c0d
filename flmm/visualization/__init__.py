"""Pictures of what the model does. Depends on torch and matplotlib; mmdet and transformers are not imported."""

from flmm.visualization.compared import compared_page
from flmm.visualization.curves import draw_curves
from flmm.visualization.figures import (
    PhrasePage,
    attention_map,
    draw_page,
    draw_phrases,
    phrase_page,
    sample_page,
    spotlight_mask,
)
from flmm.visualization.heads_figure import draw_heads
from flmm.visualization.mask_layer import colour_of, mask_layer
from flmm.visualization.overlay import draw_overlay
from flmm.visualization.patch_grid import draw_tokens, rebuild_image
from flmm.visualization.save import figure_pixels, save_figure
from flmm.visualization.selection_figure import draw_selection

__all__ = [
    'PhrasePage',
    'attention_map',
    'colour_of',
    'compared_page',
    'draw_curves',
    'draw_heads',
    'draw_overlay',
    'draw_page',
    'draw_phrases',
    'draw_selection',
    'draw_tokens',
    'figure_pixels',
    'mask_layer',
    'phrase_page',
    'rebuild_image',
    'sample_page',
    'save_figure',
    'spotlight_mask',
]
