"""noun_phrases: who finds them, what is left out, and what is refused."""

import importlib.machinery
import importlib.util
import sys
import types

import pytest

from flmm.chat import noun_phrases, phrases

PARTS = ('spacy', 'en_core_web_sm')
HAS_SPACY = all(importlib.util.find_spec(name) for name in PARTS)


def words_of(text, method='words'):
    return [span.of(text) for span in noun_phrases(text, method=method).spans]


@pytest.mark.parametrize(
    'nothing',
    [
        'They see it.', 'One of those is here.', 'The image is blurry.', 'this black and white photo',
        'a close-up', 'the upper left corner', 'on both sides', 'In the background', 'a lot of them', 'There are 2.',
        'The overall mood',
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_left_out(nothing):
    assert words_of(nothing) == []
    assert words_of(f'{nothing} A red car.') == ['A red car']


def test_what_only_resembles_it_stays():
    text = 'The left hand holds two photo frames beside the side table and a background dancer.'
    assert words_of(text) == ['The left hand', 'two photo frames', 'the side table', 'a background dancer']


def test_every_occurrence_is_a_span():
    text = 'A dog barks; a dog runs after a dog.'
    assert [(span.start, span.end) for span in noun_phrases(text, method='words').spans] == [(0, 5), (13, 18), (30, 35)]


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('the red circle<x3><y5>.the star<x1><y2>', ['the red circle', 'the star']),
        ('<think>Two cups stand here.</think><answer>A cup</answer>', ['Two cups', 'A cup']),
        ('a dog<br>ball', ['a dog', 'ball']),
        ('3 < 4 dogs > 2 cats', ['4 dogs', '2 cats']),  # no tag
    ],
)
def test_tags_are_no_words(text, expected):
    assert words_of(text) == expected


def test_letters_of_tags_make_no_text_english():
    with pytest.raises(ValueError, match=r"the text '.*<answer>.*' is not English: 3 of its 4 letters are not Latin"):
        noun_phrases('\u72d7' * 3 + ' <answer>a</answer>')


def test_another_script_is_refused():
    text = '\u4e00\u53ea\u68d5\u8272\u7684\u72d7\u5728\u8349\u5730\u4e0a\u5954\u8dd1\u3002'
    with pytest.raises(ValueError) as error:
        noun_phrases(text, method='words')
    assert str(error.value) == (
        f'the text {text!r} is not English: 12 of its 12 letters are not Latin; '
        'give the spans to ground, or let the LMM mark them'
    )


@pytest.mark.parametrize('text', ['\u0441\u043e\u0431\u0430\u043a\u0430 dog', '\u3044\u306c\u3068\u306d\u3053 dog'])
def test_a_text_that_is_mostly_another_script_is_refused(text):
    with pytest.raises(ValueError, match=r'is not English: [56] of its [89] letters are not Latin'):
        noun_phrases(text)


def test_words_of_another_script_are_no_phrases_of_an_english_text():
    assert words_of('The sign says \u505c\u8f66 above a red car.') == ['The sign', 'a red car']


@pytest.mark.parametrize('text', ['', ' \n', '...', '12 34'])
def test_a_text_without_words_has_no_phrases(text):
    assert noun_phrases(text, method='words') == phrases.NounPhrases((), 'words')


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match="method is 'nltk', expected one of auto, spacy, words"):
        noun_phrases('a dog', method='nltk')


@pytest.fixture
def installed(monkeypatch):
    """Stand in for what is installed: spaCy's pipeline is whatever makes chunks of a text."""
    loaded = []

    def install(*names, chunks=()):
        for name in PARTS:
            module = types.ModuleType(name)
            module.__spec__ = importlib.machinery.ModuleSpec(name, None)
            monkeypatch.setitem(sys.modules, name, module)
        sys.modules['spacy'].load = lambda name, exclude: (
            loaded.append((name, exclude))
            or (
                lambda text: types.SimpleNamespace(
                    noun_chunks=[
                        types.SimpleNamespace(start_char=text.index(chunk), end_char=text.index(chunk) + len(chunk))
                        for chunk in chunks
                    ]
                )
            )
        )
        real = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, 'find_spec', lambda name: None if name in set(PARTS) - set(names) else real(name)
        )
        phrases._spacy_pipeline.cache_clear()
        return loaded

    yield install
    phrases._spacy_pipeline.cache_clear()


@pytest.mark.parametrize(
    ('names', 'missing'),
    [((), 'spacy and en_core_web_sm'), (('spacy',), 'en_core_web_sm'), (('en_core_web_sm',), 'spacy')],
)
def test_without_a_part_of_spacy_its_method_is_refused_and_auto_says_words(installed, names, missing):
    loaded = installed(*names)
    with pytest.raises(ValueError) as error:
        noun_phrases('a dog', method='spacy')
    assert str(error.value) == (
        f"method is 'spacy', and {missing} cannot be imported; run 'pip install flmm[chat]' and "
        "'python -m spacy download en_core_web_sm', or choose 'words'"
    )
    assert noun_phrases('a dog').method == 'words'
    assert loaded == []


def test_with_spacy_auto_takes_its_chunks(installed):
    text = 'It shows the image, "a red dog" and the left side of him'
    loaded = installed(*PARTS, chunks=['It', 'the image', '"a red dog', 'the left side', 'him'])
    for method in ('auto', 'spacy', 'auto'):
        found = noun_phrases(text, method=method)
        assert (found.method, [span.of(text) for span in found.spans]) == ('spacy', ['a red dog'])
    assert loaded == [('en_core_web_sm', ['ner', 'lemmatizer'])]
    assert noun_phrases(text, method='words').method == 'words'


def test_of_a_chunk_over_tags_what_is_behind_them_counts(installed):
    """Its noun. What spaCy reads is as long as the text, and has sentences in the place of tags."""
    text = '<p>The <b>red</b> car</p><x3><y5>.two cups<x1><y2>'
    read = ' . The  . red .   car .           two cups .      '
    assert len(read) == len(text)
    installed(*PARTS, chunks=[read[3:21], 'two cups'])
    assert words_of(text, 'spacy') == ['car', 'two cups']


@pytest.mark.skipif(not HAS_SPACY, reason='spaCy or its pipeline en_core_web_sm is not installed')
@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('the red circle<x3><y5>.the star<x1><y2>', ['the red circle', 'the star']),
        ('<think>Two cups stand here.</think><answer>A cup</answer>', ['Two cups', 'A cup']),
        ('a dog<x3><y5> runs toward the cat<x1><y1>', ['a dog', 'the cat']),
    ],
)
def test_tags_are_no_words_for_spacy(text, expected):
    assert words_of(text, 'spacy') == expected


@pytest.mark.skipif(not HAS_SPACY, reason='spaCy or its pipeline en_core_web_sm is not installed')
def test_spacy_itself():
    text = 'The image shows two dogs on the grass. They chase a black and white ball in the background.'
    assert words_of(text, 'spacy') == words_of(text, 'words') == ['two dogs', 'the grass', 'a black and white ball']
