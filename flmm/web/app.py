"""The page itself: what stands where, and which of :class:`flmm.web.page.Page`'s answers goes into which place."""

import contextlib
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from gradio.exceptions import InvalidPathError
from gradio_client.utils import is_http_url_like

from flmm.apt.patch_selection import SELECTION_METHODS, SETTINGS
from flmm.web.examples import Example
from flmm.web.limits import MODEL_CALLS_AT_ONCE
from flmm.web.page import Page
from flmm.web.patches_view import selects_patches
from flmm.web.pictures import data_url, shrunk
from flmm.web.views import empty

FILES = Path(__file__).parent
# System fonts: Gradio's usual ones come from a server of Google's.
THEME = gr.themes.Default(primary_hue='blue', font=['system-ui', 'sans-serif'], font_mono=['ui-monospace', 'monospace'])
CSS, SCRIPT = FILES / 'page.css', FILES / 'page.js'
KEPT_FOR = (60, 600)
"""Every minute, files that were uploaded more than ten minutes ago are deleted: a call may have waited in the queue."""
MEASURES = ('laplacian', 'entropy', 'upsample_mse')
MODEL = {'concurrency_id': 'model', 'concurrency_limit': MODEL_CALLS_AT_ONCE, 'api_visibility': 'private'}
DRAW = {'concurrency_id': 'draw', 'concurrency_limit': MODEL_CALLS_AT_ONCE, 'api_visibility': 'private'}
"""For events that run the model, and for those that only draw what it has said."""


@contextlib.contextmanager
def messages() -> Iterator[None]:
    """Turn what is wrong with a visitor's wish into a message on the page."""
    try:
        yield
    except ValueError as error:
        raise gr.Error(escape(str(error)), print_exception=False) from error
    except (MemoryError, torch.OutOfMemoryError) as error:
        text = 'there is not enough memory for that; take a smaller image or fewer phrases'
        raise gr.Error(text, print_exception=False) from error


class LocalBlocks(gr.Blocks):
    """Blocks that fetch nothing: Gradio would download a file whose path is an address, whichever input names it."""

    is_template = True

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Take the inputs of an event apart, as Gradio does."""
        if any(is_http_url_like(path) for path in _paths_in(inputs)):
            raise gr.Error('a file is to be uploaded; addresses are not looked up', print_exception=False)
        try:
            return await super().preprocess_data(block_fn, inputs, *args, **kwargs)
        except InvalidPathError as error:
            raise gr.Error('there is no such upload; upload the file again', print_exception=False) from error


def _paths_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict) and isinstance(value.get('path'), str):
        yield value['path']
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _paths_in(part)


def build_app(page: Page, *, model: str, note: str, examples: list[Example]) -> gr.Blocks:
    """Lay out the page.

    Args:
        page: what answers.
        model: what the page calls the model.
        note: a sentence about it, below the examples.
        examples: pictures to begin with.
    """
    with LocalBlocks(title='flmm', analytics_enabled=False, delete_cache=KEPT_FOR) as app:
        gr.HTML(
            '<header class="flmm-header"><h1>Masks for words</h1><p>A frozen language model reads your image once. '
            f'Ask it for anything in it, as often as you like.</p><small>{escape(model)}</small></header>'
        )
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                drop = gr.File(label='1. An image', height=150, elem_id='drop')
                status = gr.HTML('<p>Drop an image above, or take one of these.</p>', elem_id='status')
                chooser = _chooser(examples, note)
                phrases = gr.Textbox(
                    label='2. What to find, one phrase a line', lines=5, max_lines=12, elem_id='phrases',
                    placeholder='the red circle\nthe star on the left',
                    info='Select some of the words to see their mask.',
                )  # fmt: skip
                find = gr.Button('Find', variant='primary', elem_id='find')
            with gr.Column(scale=8, min_width=480), gr.Tabs():
                with gr.Tab('Masks'):
                    masks = gr.HTML(empty('Your image will be here.'), elem_id='masks')
                    span = gr.HTML(elem_id='span')
                    with gr.Row(elem_id='take'):
                        copy = gr.Button('Copy as RLE', size='sm', scale=0, min_width=130, elem_id='copy')
                        download = gr.Button('Download PNG', size='sm', scale=0, min_width=130, elem_id='download')
                with gr.Tab('Coarse and refined'):
                    coarse = gr.HTML(empty('Find some phrases first.'), elem_id='coarse')
                with gr.Tab('Attention'):
                    words = gr.Textbox(label='Words', elem_id='words', placeholder='the red circle', submit_btn='Show')
                    attention = gr.HTML(empty('What the words attend to will be here.'), elem_id='attention')
                with gr.Tab('Patches', visible=selects_patches(page.grounder.to_sample.image_processor)) as patches_tab:
                    settings = _patch_settings()
                    patches = gr.HTML(empty('The patches of your image will be here.'), elem_id='patches')
                with gr.Tab('Talk'):
                    question = gr.Textbox(
                        label='Question', elem_id='question', placeholder='What is in the picture?', submit_btn='Ask'
                    )
                    answer = gr.HTML(elem_id='answer')
        carried = gr.Textbox(visible='hidden')

        views = [masks, span, coarse, attention, status]

        def fresh(picture: str, line: str) -> list[str]:
            nothing = empty('Find some phrases first.')
            return [picture, '', nothing, nothing, f'<p>{escape(line)}</p>']

        def take_file(path: str | None, request: gr.Request) -> list[Any]:
            visitor = _visitor(request)
            try:
                with messages():
                    read = page.read_file(path, visitor=visitor)
            except gr.Error as error:
                line = f'<p class="flmm-error" role="alert">{error.message}</p>'
                return [None, *[gr.skip()] * (len(views) - 1), line]
            line = f'{read.name}, {read.image.width} x {read.image.height} px, is read. Now write what to find.'
            return [None, *fresh(page.picture(visitor), line)]

        @messages()
        def take_example(event: gr.EventData, request: gr.Request) -> list[str]:
            example = examples[_index(event, len(examples))]
            visitor = _visitor(request)
            page.read(example.image, name='example', visitor=visitor)
            text = '\n'.join(example.phrases)
            found, compared, line = page.find(text, visitor=visitor)
            return [found, '', compared, empty('Press Show.'), f'<p>{line}</p>', text, example.phrases[0]]

        @messages()
        def find_phrases(text: str, request: gr.Request) -> list[str]:
            found, compared, line = page.find(text, visitor=_visitor(request))
            first = page.limits.phrases_of(text)[0]
            return [found, '', compared, f'<p>{line}</p>', first]

        @messages()
        def find_span(event: gr.SelectData, text: str, request: gr.Request) -> str:
            start, end = event.index
            return page.span(text, int(start), int(end), visitor=_visitor(request))

        @messages()
        def show_attention(text: str, request: gr.Request) -> str:
            return page.attention(text, visitor=_visitor(request))

        @messages()
        def show_patches(
            how: str, alpha: float, method: str, aggregate: str, blur: int, largest: int, request: gr.Request
        ) -> str:
            visitor = _visitor(request)
            if visitor not in page.visits:  # who only looks at the tab has done nothing wrong
                return empty('There is no image of yours here; upload one, or upload it again.')
            chosen = dict(zip(settings, (how, alpha, method, aggregate, blur, largest), strict=True))
            return page.patches(visitor=visitor, **chosen)

        @messages()
        def talk(text: str, request: gr.Request) -> str:
            return page.talk(text, visitor=_visitor(request))

        @messages()
        def rle(request: gr.Request) -> str:
            return page.rle(_visitor(request))

        @messages()
        def png(request: gr.Request) -> str:
            return page.png(_visitor(request))

        # The place of the file is emptied, for the next one.
        drop.upload(take_file, drop, [drop, *views], show_progress_on=status, **MODEL)
        chooser.click(take_example, None, [*views, phrases, words], show_progress_on=masks, **MODEL)
        found = [masks, span, coarse, status, words]
        find.click(find_phrases, phrases, found, show_progress_on=masks, **MODEL)
        phrases.submit(find_phrases, phrases, found, show_progress_on=masks, **MODEL)
        phrases.select(find_span, phrases, span, trigger_mode='always_last', show_progress='hidden', **MODEL)
        words.submit(show_attention, words, attention, **MODEL)
        changed = [setting.change for setting in settings.values()]
        gr.on(
            [patches_tab.select, *changed], show_patches, list(settings.values()), patches,
            trigger_mode='always_last', show_progress='hidden', **DRAW,
        )  # fmt: skip
        question.submit(talk, question, answer, **MODEL)
        copy.click(rle, None, carried, **DRAW).success(None, carried, js='text => flmm.copy(text)')
        download.click(png, None, carried, **DRAW).success(None, carried, js='url => flmm.download(url)')
        span.change(None, js='() => flmm.showSpan()')

        @app.unload
        def forget(request: gr.Request) -> None:
            page.visits.drop(_visitor(request))

    return app


def _chooser(examples: list[Example], note: str) -> gr.HTML:
    pictures = ''.join(
        f'<button type="button" data-example="{index}" title="{escape(", ".join(example.phrases))}">'
        f'<img src="{data_url(shrunk(example.image, 160))}" alt="example {index + 1}"></button>'
        for index, example in enumerate(examples)
    )
    return gr.HTML(
        f'<div class="flmm-examples">{pictures}</div><p class="flmm-note">{escape(note)}</p>',
        js_on_load="element.addEventListener('click', event => { const chosen = event.target.closest('[data-example]');"
        " if (chosen) trigger('click', {index: Number(chosen.dataset.example)}); });",
        elem_id='examples',
    )


def _patch_settings() -> dict[str, gr.components.Component]:
    """A control for each field of PatchSelection but the thresholds, which stay those of the measure."""
    with gr.Row():
        how = gr.Radio(list(SELECTION_METHODS), value='budget', label='Selection', elem_id='how')
        alpha = gr.Slider(0.05, 1, value=0.4, step=0.05, label='alpha: share of tokens to keep', elem_id='alpha')
    with gr.Row():
        method = gr.Dropdown(list(MEASURES), value='laplacian', label='Importance by', min_width=120)
        aggregate = gr.Dropdown(['mean', 'max', 'std'], value='mean', label='Laplacian by', min_width=100)
        blur = gr.Dropdown([1, 3, 5, 7], value=1, label='Blur, px', min_width=80)
        largest = gr.Dropdown([1, 2, 4], value=4, label='Largest token, units', min_width=100)

    def range_of(chosen: str) -> dict:
        if chosen == 'v2':
            return gr.update(maximum=3, interactive=True, label='alpha: factor of the mean importance')
        return gr.update(maximum=1, interactive=chosen == 'budget', label='alpha: share of tokens to keep')

    how.change(range_of, how, alpha, show_progress='hidden', **DRAW)
    controls = {
        'patch_selection_method': how, 'alpha': alpha, 'method': method, 'laplacian_aggregate': aggregate, 'blur': blur,
        'max_token_size': largest,
    }  # fmt: skip
    assert controls.keys() == SETTINGS.keys() - {'thresholds'}
    return controls


def _visitor(request: gr.Request) -> str:
    if not request.session_hash:
        raise ValueError('the call is of no session; reload the page')
    return request.session_hash


def _index(event: gr.EventData, count: int) -> int:
    index = event.index
    if not isinstance(index, int) or not 0 <= index < count:
        raise ValueError(f'there is no example {index!r}; there are {count}')
    return index
