"""Pictures of what the model does."""

from flmm.visualization.figures import attention_map, draw_heads, draw_phrases, overlay_mask, save_figure

__all__ = ['attention_map', 'draw_heads', 'draw_phrases', 'overlay_mask', 'save_figure']
