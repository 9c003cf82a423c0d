"""What is wrong becomes a message that a visitor can use."""

import pytest

pytest.importorskip('gradio', reason='the page needs the extra web: pip install flmm[web]')

import gradio as gr

from flmm.web.blocks import messages


@pytest.mark.parametrize(
    ('error', 'message'),
    [
        ('too large; make it smaller, or raise max_pixels if the memory suffices', 'too large; make it smaller'),
        ('too long; shorten it, or raise the setting of RefCOCO2PNG (memory grows)', 'too long; shorten it'),
        ('image {a, or raise b.png} cannot be read', 'image {a, or raise b.png} cannot be read'),
        ('{a, or raise b} is long; shorten it, or raise the setting', '{a, or raise b} is long; shorten it'),
        ('<b>', '&lt;b&gt;'),
    ],
)
@pytest.mark.parametrize('quotes', ["''", '""'])
def test_advice_that_a_visitor_cannot_follow_is_left_out(error, message, quotes):
    error, message = (text.replace('{', quotes[0]).replace('}', quotes[1]) for text in (error, message))
    with pytest.raises(gr.Error) as found, messages():
        raise ValueError(error)
    assert found.value.message == message.replace("'", '&#x27;').replace('"', '&quot;')
