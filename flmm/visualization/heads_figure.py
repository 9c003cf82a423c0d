"""The picture of what each attention head says of one phrase."""

from matplotlib.figure import Figure

from flmm.structures import GroundingSample
from flmm.visualization.text import TextFigure, fit_text, text_style

FONT_SIZE = 8


def draw_heads(sample: GroundingSample, *, heads: dict[int, list[int]], mask_id: int = 0) -> Figure:
    """Draw the attention of one phrase, each head on its own: a row for each layer, view after view.

    Maps are drawn as the mask head gets them, on the grid of the last view, padding included.

    Args:
        sample: a predicted sample.
        heads: the model's ``heads``: those of each layer, in the order of the channels.
        mask_id: which phrase.

    Raises:
        ValueError: the sample holds no attention.
    """
    if sample.mask_attentions is None:
        raise ValueError(f"sample of {sample.image_path!r} holds no attention; draw what mode='tensor' returns")
    maps = iter(sample.mask_attentions[mask_id].detach().float().cpu().numpy())
    height, width = sample.mask_attentions.shape[-2:]
    num_views = sample.mask_attentions.shape[1] // sum(map(len, heads.values()))
    rows = [(view, layer, chosen) for view in range(num_views) for layer, chosen in heads.items()]
    num_rows, num_columns = len(rows), max(map(len, heads.values()))
    figure = TextFigure(figsize=(num_columns, num_rows * max(height / width, 0.5) + 0.5), layout='constrained')
    title = f'"{sample.phrases[mask_id]}": attention by layer and head'
    title = fit_text(title, width=num_columns - 0.1, fontsize=FONT_SIZE, max_lines=2)
    figure.suptitle(title, fontsize=FONT_SIZE, **text_style(title))
    axes = figure.subplots(num_rows, num_columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for row, (view, layer, chosen) in zip(axes, rows, strict=True):
        for axis, head in zip(row, chosen, strict=False):  # a layer may have fewer heads than there are columns
            axis.imshow(next(maps), cmap='inferno')
            name = f'{layer}.{head}' if num_views == 1 else f'view {view}: {layer}.{head}'
            axis.set_title(name, fontsize=6, pad=2)
    return figure
