"""The page itself: what stands where, and which of :class:`flmm.web.page.Page`'s answers goes into which place."""

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from flmm.web.blocks import DRAW, MODEL, LocalBlocks, messages, sent_with, visitor_of
from flmm.web.controls import example_chooser, patch_settings
from flmm.web.examples import Example
from flmm.web.page import Page
from flmm.web.patches_view import selects_patches
from flmm.web.views import empty

FILES = Path(__file__).parent
# System fonts: Gradio's usual ones come from a server of Google's.
THEME = gr.themes.Default(primary_hue='blue', font=['system-ui', 'sans-serif'], font_mono=['ui-monospace', 'monospace'])
CSS, SCRIPT = FILES / 'page.css', FILES / 'page.js'
SELECTS = "element.addEventListener('flmm-select', event => trigger('select', event.detail));"
UNSEEN = empty('The patches of the new image will be here.').replace('>', ' data-unseen>', 1)
ASKS = "watch('value', () => element.querySelector('[data-unseen]')?.offsetParent && trigger('load'));"
"""An image's patches are drawn when the tab is opened, or at once where it is open."""
HINT = '<div class="flmm-selected">Select any words of the answer to see their mask.</div>'
KEPT_FOR = (60, 600)
"""Every minute, files that were uploaded more than ten minutes ago are deleted: a call may have waited in the queue."""


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
                chooser = example_chooser(examples, note)
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
                    settings = patch_settings()
                    patches = gr.HTML(
                        empty('The patches of your image will be here.'), elem_id='patches', js_on_load=ASKS
                    )
                with gr.Tab('Talk'):
                    question = gr.Textbox(
                        label='Question', elem_id='question', placeholder='What is in the picture?', submit_btn='Ask'
                    )
                    answer = gr.HTML(elem_id='answer', js_on_load=SELECTS)
                    said = gr.HTML(elem_id='said')
        carried = gr.Textbox(visible='hidden')

        views = [masks, span, coarse, attention, patches, answer, said, status]

        def of_new_image(masks: str, coarse: str, line: str) -> list[str]:
            """Nothing of the last image may stay."""
            return [masks, '', coarse, empty('Press Show.'), UNSEEN, '', '', f'<p>{escape(line)}</p>']

        def take_file(path: str | None, request: gr.Request) -> list[Any]:
            visitor = visitor_of(request)
            try:
                with messages():
                    if path is None:  # as a call past the page may have it
                        raise ValueError('no file has come; upload an image')
                    read = page.read_file(path, visitor=visitor)
            except gr.Error as error:
                line = f'<p class="flmm-error" role="alert">{error.message}</p>'
                return [None, *[gr.skip()] * (len(views) - 1), line]
            line = f'{read.name}, {read.image.width} x {read.image.height} px, is read. Now write what to find.'
            return [None, *of_new_image(page.picture(visitor), empty('Find some phrases first.'), line)]

        @messages()
        def take_example(event: gr.EventData, request: gr.Request) -> list[str]:
            (index,) = sent_with(event, 'index')
            if type(index) is not int or not 0 <= index < len(examples):
                raise ValueError(f'there is no example {index!r}; there are {len(examples)}')
            example = examples[index]
            found = of_new_image(*page.example(example, visitor=visitor_of(request)))
            return [*found, '\n'.join(example.phrases), example.phrases[0]]

        @messages()
        def find_phrases(text: str, request: gr.Request) -> list[str]:
            found, compared, line = page.find(text, visitor=visitor_of(request))
            first = page.limits.phrases_of(text)[0]
            return [found, '', compared, f'<p>{line}</p>', first]

        @messages()
        def find_span(event: gr.EventData, text: str, request: gr.Request) -> str:
            (bounds,) = sent_with(event, 'index')
            if not isinstance(bounds, list) or len(bounds) != 2:
                raise ValueError(f'the selection {bounds!r} has no start and end')
            return page.span(text, *bounds, visitor=visitor_of(request))

        @messages()
        def find_said(event: gr.EventData, request: gr.Request) -> str:
            return page.said(*sent_with(event, 'answer', 'start', 'end'), visitor=visitor_of(request))

        @messages()
        def show_attention(text: str, request: gr.Request) -> str:
            return page.attention(text, visitor=visitor_of(request))

        @messages()
        def show_patches(
            how: str, alpha: float, method: str, aggregate: str, blur: int, largest: int, request: gr.Request
        ) -> str:
            visitor = visitor_of(request)
            if visitor not in page.visits:  # who only looks at the tab has done nothing wrong
                return empty('There is no image of yours here; upload one, or upload it again.')
            if how == 'budget':  # the slider comes from 'v2', where it goes further, and is on its way back
                alpha = min(alpha, 1)
            chosen = dict(zip(settings, (how, alpha, method, aggregate, blur, largest), strict=True))
            return page.patches(visitor=visitor, **chosen)

        @messages()
        def talk(text: str, request: gr.Request) -> list[str]:
            return [page.talk(text, visitor=visitor_of(request)), HINT]

        @messages()
        def rle(request: gr.Request) -> str:
            return page.rle(visitor_of(request))

        @messages()
        def png(request: gr.Request) -> str:
            return page.png(visitor_of(request))

        # The place of the file is emptied, for the next one.
        last = {'trigger_mode': 'always_last', **MODEL}
        drop.upload(take_file, drop, [drop, *views], show_progress_on=status, **last)
        chooser.click(take_example, None, [*views, phrases, words], show_progress_on=masks, **last)
        found = [masks, span, coarse, status, words]
        gr.on([find.click, phrases.submit], find_phrases, phrases, found, show_progress_on=masks, **last)
        phrases.select(find_span, phrases, span, show_progress='hidden', **last)
        answer.select(find_said, None, said, show_progress='hidden', **last)
        words.submit(show_attention, words, attention, **MODEL)
        changed = [setting.change for setting in settings.values()]
        gr.on(
            [patches_tab.select, patches.load, *changed], show_patches, list(settings.values()), patches,
            trigger_mode='always_last', show_progress='hidden', **DRAW,
        )  # fmt: skip
        question.submit(talk, question, [answer, said], show_progress_on=answer, **MODEL)
        copy.click(rle, None, carried, **DRAW).success(None, carried, js='text => flmm.copy(text)')
        download.click(png, None, carried, **DRAW).success(None, carried, js='url => flmm.download(url)')
        span.change(None, js='() => flmm.showSpan("#span", "#masks")')
        said.change(None, js='() => flmm.showSpan("#said", "#answer")')

        @app.unload
        def forget(request: gr.Request) -> None:
            page.visits.drop(visitor_of(request))

    return app
