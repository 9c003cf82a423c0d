"""Pictures of what the model does."""

from flmm.visualization.figures import attention_map, draw_heads, draw_phrases, save_figure, spotlight_mask

__all__ = ['attention_map', 'draw_heads', 'draw_phrases', 'save_figure', 'spotlight_mask']
