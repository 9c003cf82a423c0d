"""Conversations about an image that was read once, over all families, against the stock models on whole sequences."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from tiny_chat import BLANK_FIRST, Talker, spoken, stock_prompt

from flmm.families import FAMILIES

FIRST_LAYERS = {'num_layers': 4, 'heads': [(1, 0), (1, 3)]}
"""The phrases' pass ends at layer 1 of 4: the conversation needs layers that the reading has left out."""
TALKERS = {
    **{name: Talker(model_type=name) for name in FAMILIES},
    **{
        f'{name}, first layers': Talker(model_type=name, model=FIRST_LAYERS)
        for name in ('qwen2_5_vl', 'qwen3_vl', 'qwen3_5', 'llava')
    },
    **{
        f'{name}, budget': Talker(model_type=name, processor={'patch_selection_method': 'budget', 'alpha': 0.5})
        for name in ('qwen2_5_vl', 'qwen3_vl', 'qwen3_5')
    },
}
QUESTIONS = ['What is on the left?', 'And behind it?', 'Why?']
NEW = {'max_new_tokens': 20, 'repetition_penalty': 1.3}
SPANS = [(4, 9), (0, 2), (7, 12), (6, 7), (0, 16), (4, 9)]
"""In no order; some overlap, one is a single token, one stands there twice."""


class Conversation:
    """Three turns with a tiny model, and the stock model."""

    def __init__(self, talker):
        self.talker, self.grounder = talker, talker.grounder()
        self.lmm = self.grounder.model.lmm
        self.spoken = NEW | spoken(talker.model_type, self.grounder.to_sample.image_processor)
        self.read = self.grounder.read(talker.image)
        self.stock = talker.stock_lmm()
        self.answers = [self.read.chat(QUESTIONS[0], **self.spoken)]
        for question in QUESTIONS[1:]:
            self.answers.append(self.answers[-1].chat(question, **self.spoken))


@pytest.fixture(scope='module', params=TALKERS)
def conversation(request):
    return Conversation(TALKERS[request.param])


def state_of(module):
    """All that hangs on a module and those in it: which objects, and how many things are in the dicts among them."""
    return {
        name: {key: (id(value), len(value) if isinstance(value, dict) else None) for key, value in vars(part).items()}
        for name, part in module.named_modules()
    }


def test_each_turn_is_what_the_chat_template_writes_of_the_whole_conversation(conversation):
    said = [answer.text.strip() for answer in conversation.answers]
    for turn, answer in enumerate(conversation.answers):
        expected = stock_prompt(conversation.read, QUESTIONS[: turn + 1], said[:turn])
        assert answer.prompt_ids.tolist() == expected.tolist()
        assert answer.question == QUESTIONS[turn]


def test_each_answer_is_that_of_the_stock_model_to_the_whole_conversation(conversation):
    for answer in conversation.answers:
        expected = conversation.talker.stock_answer(
            conversation.stock, conversation.read, answer.prompt_ids, **conversation.spoken
        )
        assert answer.token_ids.tolist() == expected.tolist()
        assert len(expected) == 20


@pytest.mark.parametrize('settings', [{'do_sample': True, 'temperature': 1.5}, {'num_beams': 2}], ids=str)
def test_sampled_answers_and_beams_are_those_of_the_stock_model(conversation, settings):
    torch.manual_seed(3)
    found = conversation.answers[0].chat('Why?', **settings, **conversation.spoken)
    torch.manual_seed(3)
    expected = conversation.talker.stock_answer(
        conversation.stock, conversation.read, found.prompt_ids, **settings, **conversation.spoken
    )
    assert found.token_ids.tolist() == expected.tolist()
    assert len(expected) == 20


def test_nothing_of_the_lmm_changes(conversation):
    before, config = state_of(conversation.lmm), copy.deepcopy(conversation.lmm.generation_config.to_dict())
    conversation.read.chat('Why?', num_beams=2, **conversation.spoken).ground([(0, 3)])
    assert state_of(conversation.lmm) == before
    assert conversation.lmm.generation_config.to_dict() == config
    assert getattr(conversation.lmm.model, 'rope_deltas', None) is None


def on_grid(view, maps):
    """[heads, N] -> [heads, h, w]: each token's attention, divided over the cells that it covers."""
    grid = maps.new_zeros(len(maps), *view.layout.grid_size)
    for token, (top, left, size) in enumerate(view.layout.tokens.tolist()):
        grid[:, top : top + size, left : left + size] = maps[:, token, None, None] / size**2
    return grid


@pytest.mark.parametrize('turn', [0, 1, 2])
def test_words_are_grounded_by_the_attention_of_the_stock_model(conversation, monkeypatch, turn):
    talker, read, answer = conversation.talker, conversation.read, conversation.answers[turn]
    model, seen = conversation.grounder.model, []
    encode = model.encode
    monkeypatch.setattr(model, 'encode', lambda samples: seen.append((samples[0], encode(samples)[0])) or [seen[-1][1]])
    found = answer.ground(SPANS)
    words = [answer.text[start:end] for start, end in SPANS]
    assert found.phrases == words

    outputs = talker.stock_forward(conversation.stock, read, torch.cat([answer.prompt_ids, answer.token_ids]))
    layers = [weights[0] for weights in outputs.attentions if weights is not None]
    if 'heads' in talker.model:  # layer 1 is the first that has attention in Qwen3.5
        layers = [layers[0 if talker.model_type == 'qwen3_5' else 1][[0, 3]]]
    attention = torch.cat(layers)  # [heads, S, S]
    hidden = torch.stack(outputs.hidden_states[1 : model.depth + 1])[:, 0]  # [layers, S, hidden]

    # A letter is a token; the blank that an answer may begin with is one without a character, or is the first.
    shift = len(answer.token_ids) - len(answer.text)
    read_of = {}
    for sample, features in seen:
        states = features.hidden_states.split(sample.tokens_per_mask, dim=1)
        for number, phrase in enumerate(sample.phrases):
            places = (sample.mask_ids == number).nonzero().squeeze(1).tolist()
            read_of[tuple(places)] = (phrase, features.attentions[number], states[number])
    for (start, end), phrase in zip(SPANS, words, strict=True):
        places = [i for i in range(start, end) if answer.text[i] != ' ']
        places = [len(answer.prompt_ids) + shift + i for i in places]
        assert places
        written, maps, states = read_of[tuple(places)]
        assert written == phrase
        views = [on_grid(view, attention[:, places][..., view.columns].mean(dim=1)) for view in read.processed.views]
        size = views[-1].shape[1:]
        views = [F.interpolate(view[None], size=size, mode='bilinear', align_corners=False)[0] for view in views]
        views += views[-1:] * (model.num_views - len(views))
        torch.testing.assert_close(maps, torch.cat(views), atol=1e-5, rtol=0)
        # A state that was carried on over three passes is rounded otherwise than one of a single pass.
        tolerance = 5e-4 if read.image_prefix.carries else 1e-4
        torch.testing.assert_close(states, hidden[:, places], atol=tolerance, rtol=1e-4)


def test_a_span_has_the_same_mask_whatever_is_asked_beside_it(conversation):
    answer = conversation.answers[1]
    together = answer.ground(SPANS)
    for number, span in enumerate(SPANS):
        alone = answer.ground([span])
        for source in ('coarse', 'refined'):
            found = getattr(together, source)[[number]].in_image()
            torch.testing.assert_close(found, getattr(alone, source).in_image(), atol=3e-5, rtol=0)
        torch.testing.assert_close(together.scores[[number]], alone.scores, atol=1e-5, rtol=0)


def test_a_given_answer_is_as_if_the_lmm_had_said_it(conversation):
    answer = conversation.answers[0]
    given = conversation.read.given_answer(QUESTIONS[0], answer.text)
    assert given.text == answer.text
    assert given.offsets == answer.offsets
    assert given.token_ids.tolist() == answer.token_ids.tolist()
    said, written = answer.ground(SPANS), given.ground(SPANS)
    assert torch.equal(said.refined.in_image(), written.refined.in_image())
    assert torch.equal(said.scores, written.scores)


def test_the_image_is_read_once_and_again_only_for_layers_that_were_left_out_or_carry(conversation, monkeypatch):
    model, read_images, embedded = conversation.grounder.model, [], []
    image_features, encode_images = model.image_features, model.sam.encode_images
    monkeypatch.setattr(model, 'image_features', lambda given: read_images.append(1) or image_features(given))
    monkeypatch.setattr(model.sam, 'encode_images', lambda given: embedded.append(1) or encode_images(given))
    read = conversation.grounder.read(conversation.talker.image)
    assert (len(read_images), len(embedded)) == (1, 1)
    answer = read.chat('Why?', **conversation.spoken)
    answer.ground([(0, 3), (2, 5)])
    read.chat('What?', **conversation.spoken)
    answer.chat('Where?', **conversation.spoken).ground([(1, 4)])
    read.ground(['a cat'])
    again = model.depth < model.num_layers or read.reading.prefix.carries
    assert again == ('heads' in conversation.talker.model or conversation.talker.model_type == 'qwen3_5')
    assert (len(read_images), len(embedded)) == (1 + again, 1)
    if not again:
        kept = read.reading.prefix
        for part, own in zip(
            (*kept.keys, *kept.values), (*read.image_prefix.keys, *read.image_prefix.values), strict=True
        ):
            assert own.data_ptr() == part.data_ptr()  # a view, no copy
            assert own.shape[2] < part.shape[2]


def test_an_answer_that_ends_at_once(conversation):
    ends = [conversation.grounder.to_sample.image_processor.tokenizer.eos_token_id]
    others = [token for token in range(conversation.lmm.config.get_text_config().vocab_size) if token not in ends]
    answer = conversation.read.chat('Why?', suppress_tokens=others, max_new_tokens=3)
    assert (answer.text, answer.raw, answer.offsets, answer.marked) == ('', '', [], ())
    with pytest.raises(ValueError, match=r"^the answer '' has nothing to ground; name a span of it$"):
        answer.ground()
    with pytest.raises(ValueError, match=r'^span \(0, 1\) ends outside the text of 0 characters; count characters'):
        answer.ground([(0, 1)])
    follow = answer.chat('And now?', **conversation.spoken)
    assert follow.prompt_ids.tolist()[: len(answer.prompt_ids)] == answer.prompt_ids.tolist()
    assert len(follow.text.strip()) == 20 - (conversation.talker.model_type in BLANK_FIRST)


@pytest.mark.parametrize('model_type', FAMILIES)
def test_names_of_special_tokens_in_a_question_stay_text(model_type):
    talker = Talker(model_type=model_type)
    read = talker.grounder().read(talker.image)
    wrapper = read.grounder.to_sample.image_processor
    special = torch.tensor([*wrapper.tokenizer.get_added_vocab().values()])
    settings = {'max_new_tokens': 2} | spoken(model_type, wrapper)

    def ask(words):
        answer = read.chat(f'is {words} there', **settings)
        return answer, answer.chat(f'or {words} here', **settings)

    expected = [int(torch.isin(each.prompt_ids, special).sum()) for each in ask('it')]
    for name in wrapper.tokenizer.get_added_vocab():
        answer, follow = ask(name)
        assert [int(torch.isin(each.prompt_ids, special).sum()) for each in (answer, follow)] == expected, name
        asked = wrapper.tokenizer.decode(follow.prompt_ids[len(answer.prompt_ids) + len(answer.token_ids) :])
        assert f'or {name} here'.replace('<image>', '') in asked


@pytest.mark.parametrize('model_type', ['qwen2_5_vl', 'qwen3_5'])
def test_threads_may_talk_to_grounders_that_share_an_lmm(model_type):
    talkers = [TALKERS[f'{model_type}, first layers'], Talker(model_type=model_type, model={'num_layers': 4})]
    first = talkers[0].grounder()
    grounders = [first, talkers[1].grounder(lmm=first.model.lmm)]
    settings = {'max_new_tokens': 6} | spoken(model_type, first.to_sample.image_processor)

    def talk(number):
        read = grounders[number % 2].read(talkers[0].image)
        answer = read.chat(f'What is number {number}?', **settings)
        follow = answer.chat('Why?', **settings)
        found = follow.ground([(1, 4), (0, 3)])
        return answer.token_ids, follow.token_ids, found.scores, found.refined.in_image()

    alone = [talk(number) for number in range(4)]
    with ThreadPoolExecutor(max_workers=4) as threads:
        together = list(threads.map(talk, [*range(4)] * 2))
    for found, expected in zip(together, alone * 2, strict=True):
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
