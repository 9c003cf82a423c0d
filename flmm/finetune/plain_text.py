"""Render a conversation with the chat template, and prove that its text stays text."""

import re
from collections import Counter
from typing import Any

from flmm.finetune.chat_dataset import Conversation
from flmm.finetune.chat_format import ROLES


def render_chat(processor: Any, conversation: Conversation) -> str:
    """Render a conversation; no text of it may turn into a special token, however the template joins it.

    The proof is exact whatever the template does: the chat is rendered again with a plain word in place of every text,
    and both must tokenize to the same special tokens in the same order. Special is every token that was added to the
    tokenizer's vocabulary, marked as special or not.

    Args:
        processor: has ``apply_chat_template`` and ``tokenizer``.
        conversation: its ``assistant_tokens`` may stand in the assistant's text.

    Raises:
        ValueError: a role is unknown, an assistant's token is none of the tokenizer's added ones, or a text forges a
            special token; names source, message and token.
    """
    known = {str(token) for token in processor.tokenizer.added_tokens_decoder.values()}
    strange = [token for token in conversation.assistant_tokens if token not in known]
    if strange:
        raise ValueError(
            f'{conversation.source}: assistant_tokens has {strange[0]!r}, which is no special token of this tokenizer '
            'but text of several tokens; leave it out, or write it as the tokenizer does'
        )
    for index, message in enumerate(conversation.messages):
        if message['role'] not in ROLES:
            raise ValueError(
                f'{conversation.source}: messages[{index}].role: expected one of {ROLES}, got {message["role"]!r}'
            )
    rendered = processor.apply_chat_template(conversation.messages, tokenize=False)
    plain = [_with_plain_words(message, conversation.assistant_tokens) for message in conversation.messages]
    expected = _special_tokens(processor, processor.apply_chat_template(plain, tokenize=False))
    if _special_tokens(processor, rendered) == expected:
        return rendered
    for index, message in enumerate(conversation.messages):
        one = [*plain[:index], message, *plain[index + 1 :]]
        found = _special_tokens(processor, processor.apply_chat_template(one, tokenize=False))
        if found != expected:
            surplus = ', '.join(Counter(found) - Counter(expected)) or 'special tokens in another order'
            raise ValueError(
                f'{conversation.source}: messages[{index}].content: the text, as the chat template joins it, contains '
                f'{surplus}, which only the chat template may write'
            )
    raise ValueError(
        f'{conversation.source}: the texts of several messages, as the chat template joins them, contain special '
        'tokens, which only the chat template may write'
    )


def _special_tokens(processor: Any, text: str) -> list[str]:
    tokenizer = processor.tokenizer
    added = {number: str(token) for number, token in tokenizer.added_tokens_decoder.items()}
    unknown = added.pop(tokenizer.unk_token_id, None)  # of unknown words, too: only where it is written counts
    ids = tokenizer(text, add_special_tokens=False)['input_ids']
    return [added[number] for number in ids if number in added] + [unknown] * (text.count(unknown) if unknown else 0)


def _with_plain_words(message: dict[str, Any], allowed: tuple[str, ...]) -> dict[str, Any]:
    """The message with a word for each text, beside the special tokens that are allowed in it."""
    kept = allowed if message['role'] == 'assistant' else ()
    if isinstance(message['content'], str):
        return {'role': message['role'], 'content': _plain_word(message['content'], kept)}
    parts = [
        {'type': 'text', 'text': _plain_word(part['text'], kept)} if part['type'] == 'text' else {'type': part['type']}
        for part in message['content']
    ]
    return {'role': message['role'], 'content': parts}


def _plain_word(text: str, kept: tuple[str, ...]) -> str:
    if not text.strip():
        return text  # templates may leave out what is empty
    found = re.findall('|'.join(map(re.escape, sorted(kept, key=len, reverse=True))), text) if kept else []
    return ''.join(['x', *found, 'x'])
