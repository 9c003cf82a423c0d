"""Parts of the page that need more than a line: pictures to choose, and the settings of a selection of patches."""

from html import escape

import gradio as gr

from flmm.apt.patch_selection import SELECTION_METHODS, SETTINGS
from flmm.visualization.figures import shrunk_image
from flmm.web.blocks import DRAW
from flmm.web.examples import Example
from flmm.web.pictures import data_url

MEASURES = ('laplacian', 'entropy', 'upsample_mse')


def example_chooser(examples: list[Example], note: str) -> gr.HTML:
    """Pictures of the examples; its click event has the ``index`` of the one that was chosen."""
    pictures = ''.join(
        f'<button type="button" data-example="{index}" title="{escape(", ".join(example.phrases))}">'
        f'<img src="{data_url(shrunk_image(example.image, 160))}" alt="example {index + 1}"></button>'
        for index, example in enumerate(examples)
    )
    return gr.HTML(
        f'<div class="flmm-examples">{pictures}</div><p class="flmm-note">{escape(note)}</p>',
        js_on_load="element.addEventListener('click', event => { const chosen = event.target.closest('[data-example]');"
        " if (chosen) trigger('click', {index: Number(chosen.dataset.example)}); });",
        elem_id='examples',
    )


def patch_settings() -> dict[str, gr.components.Component]:
    """A control for each field of PatchSelection but the thresholds, which stay those of the measure."""
    with gr.Row():
        how = gr.Radio(list(SELECTION_METHODS), value='budget', label='Selection', elem_id='how')
        alpha = gr.Slider(0.05, 1, value=0.4, step=0.05, label='alpha: share of tokens to keep', elem_id='alpha')
    with gr.Row():
        method = gr.Dropdown(list(MEASURES), value='laplacian', label='Importance by', min_width=140)
        aggregate = gr.Dropdown(['mean', 'max', 'std'], value='mean', label='Laplacian by', min_width=140)
        blur = gr.Dropdown([1, 3, 5, 7], value=1, label='Blur, px', min_width=140)
        largest = gr.Dropdown([1, 2, 4], value=4, label='Largest token, units', min_width=140)

    def range_of(chosen: str, value: float) -> dict:
        if chosen == 'v2':
            return gr.update(maximum=3, interactive=True, label='alpha: factor of the mean importance')
        label = 'alpha: share of tokens to keep'
        return gr.update(maximum=1, value=min(value, 1), interactive=chosen == 'budget', label=label)

    how.change(range_of, [how, alpha], alpha, show_progress='hidden', **DRAW)
    controls = {
        'patch_selection_method': how, 'alpha': alpha, 'method': method, 'laplacian_aggregate': aggregate, 'blur': blur,
        'max_token_size': largest,
    }  # fmt: skip
    assert controls.keys() == SETTINGS.keys() - {'thresholds'}
    return controls
