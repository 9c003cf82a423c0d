"""Frames of a video -> what a Qwen-VL model reads, by the checkpoint's own processor, whose tokens are never pruned.

Letters: T frames, V = T / 2 moments, (h, w) the grid of a moment in units.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import Qwen2VLVideoProcessor

from flmm.apt.layout import TokenLayout
from flmm.datasets.image_processor import ProcessedImage
from flmm.geometry import frame_meta_data
from flmm.structures import ImageView
from flmm.video import Clip

if TYPE_CHECKING:
    from flmm.datasets.qwen_image_processor import QwenImageProcessorWrapper

TEXT_INPUTS = ('input_ids', 'attention_mask', 'mm_token_type_ids')
"""What the processor says of the text; all else is of the video."""


def process_video(wrapper: 'QwenImageProcessorWrapper', clip: Clip, *, prompt: str) -> ProcessedImage:
    """Prepare the frames of a video with the user's words about it, as the stock processor does.

    Args:
        wrapper: whose processor, chat template and bounds of the size are used.
        clip: the frames.
        prompt: the user's turn.

    Returns:
        ``pixel_values_videos``, ``video_grid_thw`` ([1, 3], V first) and, of Qwen2.5-VL, ``second_per_grid_ts`` ([1],
        seconds of a moment); and V views, each of the tokens of one moment.

    Raises:
        ValueError: frames that the processor refuses, such as those of an aspect ratio over 200, or bounds of the size
            that exclude each other.
    """
    processor = wrapper.processor
    # The processor writes what stands for the video, with Qwen3-VL the time of each moment, too. It is a special token
    # that it takes the place of, so the text can be cut behind it.
    until_video, token, _ = wrapper.chat_tokenizer.video_chat[0].partition(processor.video_token)
    read = processor(
        text=[until_video + token],
        videos=[clip.frames],
        video_metadata=[clip.metadata],
        do_sample_frames=False,
        return_tensors='pt',
        **_size(wrapper, clip),
    )
    ids = torch.cat([read['input_ids'][0], _ids_behind_video(wrapper, prompt)])
    (num_moments, rows, columns), merge = read['video_grid_thw'][0].tolist(), processor.video_processor.merge_size
    patch = processor.video_processor.patch_size
    layout = TokenLayout.dense((rows // merge, columns // merge))
    meta_data = frame_meta_data(tuple(clip.frames.shape[-2:]), (rows * patch, columns * patch))
    places = (ids == processor.video_token_id).nonzero().squeeze(1).chunk(num_moments)  # [h * w] each
    lmm_inputs = {name: value for name, value in read.items() if name not in TEXT_INPUTS}
    return ProcessedImage(
        input_ids=ids,
        lmm_inputs={name: torch.as_tensor(value) for name, value in lmm_inputs.items()},
        views=[ImageView(columns=columns, layout=layout, meta_data=meta_data) for columns in places],
        is_video=True,
    )


def video_turn_ids(
    wrapper: 'QwenImageProcessorWrapper', processed: ProcessedImage, *, prompt: str, instead_of: str
) -> Tensor:
    """Return the chat about a video that was processed with other words of the user, ``instead_of``: [S] long."""
    end = len(processed.input_ids) - len(_ids_behind_video(wrapper, instead_of))
    return torch.cat([processed.input_ids[:end], _ids_behind_video(wrapper, prompt)])


def _ids_behind_video(wrapper: 'QwenImageProcessorWrapper', prompt: str) -> Tensor:
    before, after = wrapper.chat_tokenizer.video_chat
    *_, behind_video = before.partition(wrapper.processor.video_token)
    return torch.tensor(wrapper.chat_tokenizer.ids_between(behind_video, prompt, after))


def _size(wrapper: 'QwenImageProcessorWrapper', clip: Clip) -> dict[str, object]:
    """Bound the size: the processor of Qwen2-VL and Qwen2.5-VL counts px of a frame, that of Qwen3-VL of all frames."""
    processor = wrapper.processor.video_processor
    counts_each = isinstance(processor, Qwen2VLVideoProcessor)
    counted = 1 if counts_each else len(clip.frames)
    size = dict(processor.size)
    for edge, bound in (('shortest_edge', wrapper.min_pixels), ('longest_edge', wrapper.max_pixels)):
        if bound is not None:
            size[edge] = bound * counted
    if wrapper.min_pixels is None and size['shortest_edge'] > size['longest_edge']:  # of the checkpoint
        size['shortest_edge'] = (processor.patch_size * processor.merge_size) ** 2 * counted  # as FrameSize does
    if size['shortest_edge'] > size['longest_edge']:
        raise ValueError(
            f'{len(clip.frames)} frames would be of {size["shortest_edge"] // counted} px at least and of '
            f'{size["longest_edge"] // counted} px at most; set min_pixels and max_pixels, or read fewer frames'
        )
    # Frames of a long video share what an LMM can read, as in Qwen's own code, and Qwen3-VL's bound is of all of them.
    has_choice = 'cap_pixels_per_frame' in processor.valid_kwargs.__annotations__
    return {'size': size, **({'cap_pixels_per_frame': counts_each} if has_choice else {})}
