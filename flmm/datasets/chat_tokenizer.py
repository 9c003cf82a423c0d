"""The chat around an image, as tokens; what users write in it stays plain text."""

import copy
import reprlib
from functools import cached_property

from transformers import ProcessorMixin

from flmm.text import check_text

# Takes the user's place while the chat template is rendered, so that the template alone decides what is special.
PROMPT_SENTINEL = '\u241f'


class ChatTokenizer:
    """The chat template of a checkpoint, or a given one, and its tokenizer.

    Args:
        processor: the LMM's processor, whose tokenizer has the image token.
        prompt_template: the chat up to the start of the answer, with ``<image>`` and ``{prompt}`` where they belong.
            None takes the chat template of the checkpoint.

    Attributes:
        chat: what stands before the user's words, the image included, and what stands between them and the answer.

    Raises:
        ValueError: a template without exactly one image and one prompt.
    """

    def __init__(self, *, processor: ProcessorMixin, prompt_template: str | None = None) -> None:
        self.processor = processor
        self.tokenizer = processor.tokenizer
        # Whether special tokens are split is a state of a fast tokenizer, which each call sets. Threads that share one
        # would read special tokens out of plain text, or change it while another uses it ('Already borrowed').
        self.plain_tokenizer = copy.deepcopy(self.tokenizer)
        self.plain_tokenizer('', add_special_tokens=False, split_special_tokens=True)
        self.prompt_template = prompt_template
        self.chat = (
            self._chat_template()
            if prompt_template is None
            else self._given_template(prompt_template, shown=processor.image_token)
        )

    def encode_text(self, text: str) -> list[int]:
        """Tokenize ``text`` as plain text: no special token is added, and none is read out of it.

        Raises:
            ValueError: no string, one with a lone surrogate, or with the placeholder of an image where the tokenizer
                does not know that it is special.
        """
        check_text(text, what='text')
        ids = self.plain_tokenizer(text, add_special_tokens=False, split_special_tokens=True)['input_ids']
        for kind, what in (('image', 'an image'), ('video', 'a video')):
            if getattr(self.processor, f'{kind}_token_id', None) in ids:
                token = getattr(self.processor, f'{kind}_token')
                raise ValueError(
                    f'the tokenizer would read {what} out of the text {reprlib.repr(text)}; leave {token!r} out of it, '
                    "or mark that token as special in the checkpoint's tokenizer"
                )
        return ids

    def first_turn_ids(self, prompt: str, *, num_images: int = 1) -> list[int]:
        """Tokenize the chat up to the start of the first answer, with one placeholder for each image.

        Raises:
            ValueError: a prompt that is no string, or that :meth:`encode_text` refuses; several images, where the chat
                is a given ``prompt_template`` of one, or the chat template does not show each of them.
        """
        if num_images > 1 and self.prompt_template is not None:
            raise ValueError(
                f'the image processor has a prompt_template, which shows one image, not {num_images}; leave '
                "prompt_template out to take the checkpoint's chat template"
            )
        before, after = self.chat if num_images == 1 else self._chat_template(num_images=num_images)
        # As apply_chat_template does: a template may write the token that begins a text, or leave it to the tokenizer.
        starts = not (self.tokenizer.bos_token and before.startswith(self.tokenizer.bos_token))
        return self._turn_ids(before, _words(prompt), after, add_special_tokens=starts)

    def follow_up_ids(self, question: str) -> list[int]:
        """Tokenize what stands between an answer and the next: the user's next turn, as plain text.

        Raises:
            ValueError: the chat is a given ``prompt_template``, the chat template does not go on behind an answer, or a
                question that :meth:`encode_text` refuses.
        """
        before, after = self._follow_up
        # Behind a word, as it stands behind an answer: there are tokenizers that put a blank before a text.
        word = self.tokenizer('a', add_special_tokens=False)['input_ids']
        ids = self._turn_ids(f'a{before}', _words(question), after, add_special_tokens=False)
        if ids[: len(word)] != word:
            raise ValueError(
                f'the tokenizer joins an answer with what the chat template writes behind it, {before!r}, so the '
                'conversation cannot go on; ask about the image anew'
            )
        return ids[len(word) :]

    @cached_property
    def video_chat(self) -> tuple[str, str]:
        """What stands before and behind the user's words about a video, which has one placeholder."""
        if self.prompt_template is not None:
            return self._given_template(self.prompt_template, shown=self.processor.video_token)
        return self._chat_template(kind='video')

    def ids_between(self, before: str, prompt: str, after: str) -> list[int]:
        """Tokenize the user's words about a video as plain text, with what the chat has around them, which begins no
        text.

        Raises:
            ValueError: a prompt that is no string, or that :meth:`encode_text` refuses.
        """
        words = _words(prompt).replace('<video>', '').strip()  # for which the chat has a place, too
        return self._turn_ids(before, words, after, add_special_tokens=False)

    @cached_property
    def _follow_up(self) -> tuple[str, str]:
        """What the chat template writes behind an answer before the user's next words, and behind those."""
        if self.prompt_template is not None:
            raise ValueError(
                'the image processor has a prompt_template, which says nothing of a second question; ask about the '
                "image anew, or leave prompt_template out to take the checkpoint's chat template"
            )
        turns = [
            {'role': 'user', 'content': [{'type': 'image'}, {'type': 'text', 'text': PROMPT_SENTINEL}]},
            {'role': 'assistant', 'content': [{'type': 'text', 'text': PROMPT_SENTINEL}]},
            {'role': 'user', 'content': [{'type': 'text', 'text': PROMPT_SENTINEL}]},
        ]
        rendered = self.processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        parts = rendered.split(PROMPT_SENTINEL)
        # A template may write 'ASSISTANT: ' before an answer, and leave it to the LMM to begin with the blank.
        before, after = self.chat
        if len(parts) != 4 or (parts[0], parts[1].rstrip()) != (before, after.rstrip()):
            raise ValueError(
                'the chat template writes a first turn otherwise when others follow, so it cannot go on; ask about the '
                f'image anew: {rendered!r}'
            )
        return parts[2], parts[3]

    def _turn_ids(self, before: str, words: str, after: str, *, add_special_tokens: bool) -> list[int]:
        """Tokenize what the template writes around the user's words, and those as plain text."""
        if not any(token in words for token in self.tokenizer.get_added_vocab()):
            # In one piece: there are tokenizers that treat a text's first word otherwise than the words within it.
            return self.tokenizer(before + words + after, add_special_tokens=add_special_tokens)['input_ids']
        ids = self.tokenizer(before, add_special_tokens=add_special_tokens)['input_ids']
        return [*ids, *self.encode_text(words), *self.tokenizer(after, add_special_tokens=False)['input_ids']]

    def _chat_template(self, *, num_images: int = 1, kind: str = 'image') -> tuple[str, str]:
        user_turn = [*[{'type': kind}] * num_images, {'type': 'text', 'text': PROMPT_SENTINEL}]
        rendered = self.processor.apply_chat_template(
            [{'role': 'user', 'content': user_turn}], tokenize=False, add_generation_prompt=True
        )
        before, found, after = rendered.partition(PROMPT_SENTINEL)
        token = getattr(self.processor, f'{kind}_token')
        if not found or before.count(token) != num_images or token in after:
            images = f'one {kind}' if num_images == 1 else f'{num_images} {kind}s'
            raise ValueError(
                f'the chat template does not render {images} and one text once each, in this order; expected a '
                f"template like Qwen2-VL's, got {rendered!r}"
            )
        return before, after

    def _given_template(self, template: str, *, shown: str) -> tuple[str, str]:
        check_text(template, what='prompt_template')
        # A template may write out the token of an image, or else '<image>'.
        template = template.replace('<image>', self.processor.image_token)
        before, found, after = template.replace(self.processor.image_token, shown).partition('{prompt}')
        if not found or '{prompt}' in after or before.count(shown) != 1 or shown in after:
            raise ValueError(
                f"prompt_template is {template!r}, expected one '<image>' and, behind it, one '{{prompt}}', such as "
                "'USER: <image>\\n{prompt} ASSISTANT:'"
            )
        return before, after


def _words(prompt: str) -> str:
    """The user's words without placeholders of an image, for which the template has a place already."""
    check_text(prompt, what='prompt')
    return prompt.replace('<image>', '').strip()
