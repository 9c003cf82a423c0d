"""Conversations about videos: what is read of them, and that the model gets what the stock processor makes of it."""

import copy
import re

import pytest
import torch
from PIL import Image
from tiny_videos import write_video
from transformers import Qwen3VLVideoProcessor

from flmm.finetune import ChatCollator, ChatDataset, Conversation, frame_size_for, set_video_size
from flmm.video import Clip, FrameSampling, FrameSize, read_clip


def with_video(record, **part):
    """The record with its first video replaced by one with these keys."""
    record = copy.deepcopy(record)
    record['messages'][0]['content'][0] = {'type': 'video', **part}
    return record


def test_videos_of_a_conversation(write_jsonl, record_with_videos, tmp_path):
    dataset = ChatDataset(write_jsonl(record_with_videos))
    assert dataset.video_shapes(0) == [(6, 3, 28, 84), (4, 3, 28, 56)]
    assert dataset.image_sizes(0) == [(84, 56)]
    conversation = dataset[0]
    frames, clip = conversation.videos
    assert [tuple(each.frames.shape) for each in conversation.videos] == dataset.video_shapes(0)
    assert frames.seconds == (0, 0.25, 0.5, 0.75, 1, 1)
    assert clip.indices == (0, 3, 7, 10)
    expected = read_clip(
        tmp_path / 'clip.mp4', sampling=FrameSampling(fps=4, video_end=1.0), frame_size=FrameSize(max_pixels=784 * 4)
    )
    assert torch.equal(clip.frames, expected.frames)
    assert conversation.messages[0]['content'][:2] == [{'type': 'video'}, {'type': 'image'}]
    text = dataset.without_images(0)
    assert text.videos == []
    assert text.video_names == conversation.video_names == (f'5 frames from {tmp_path}/0.png', f'{tmp_path}/clip.mp4')


def test_defaults_and_the_size_of_the_dataset(write_jsonl, record_with_videos):
    part = {'video': 'clip.mp4'}
    path = write_jsonl(with_video(record_with_videos, **part))
    assert ChatDataset(path).video_shapes(0)[0] == (4, 3, 280, 392)  # at least 128 tokens; two a second
    small = FrameSize(min_pixels=784, max_pixels=784 * 6)
    assert ChatDataset(path, frame_size=small).video_shapes(0)[0] == (4, 3, 56, 84)
    path = write_jsonl(with_video(record_with_videos, **part, nframes=2, max_pixels=None))
    assert ChatDataset(path, frame_size=small).video_shapes(0)[0] == (2, 3, 56, 84)


def test_frames_of_a_list_can_be_chosen_by_their_rate(write_jsonl, record_with_videos):
    part = {**record_with_videos['messages'][0]['content'][0], 'video_start': 0.25, 'nframes': 2, 'raw_fps': 20}
    clip = ChatDataset(write_jsonl(with_video(record_with_videos, **part)))[0].videos[0]
    assert clip.indices == (5, 20)
    assert clip.sampled_fps == 2 / 4 * 4


@pytest.mark.parametrize(
    ('part', 'message'),
    [
        ({'video': 7}, '.video: expected the path of a file or a list of paths of frames, got 7'),
        ({'video': []}, '.video: expected the path of a file or a list of paths of frames, got []'),
        ({'video': 'absent.mp4'}, '.video: no such file: {tmp}/absent.mp4'),
        ({'video': ['0.png', 'absent.png']}, '.video: no such file: {tmp}/absent.png'),
        ({'video': ['0.png', 3]}, '.video: path 3 is no name of a file'),
        ({'video': '../clip.mp4'}, ".video: path '../clip.mp4' is absolute or goes up"),
        ({'video': 'http://127.0.0.1/clip.mp4'}, ".video: path 'http://127.0.0.1/clip.mp4' is an address"),
        ({'video': ['0.png', '../1.png']}, ".video: path '../1.png' is absolute or goes up"),
        (
            {'video': ['0.png', 'star.png']},
            ".video: video '2 frames from {tmp}/0.png': frame 1 ({tmp}/star.png) has 84 x",
        ),
        ({'video': 'star.png'}, ".video: video '{tmp}/star.png' is no file of MP4 or MOV"),
        ({'video': 'clip.mp4', 'frames': 8}, '.frames: no key of a video; they are type, video, fps, nframes'),
        ({'video': 'clip.mp4', 'resized_height': 56}, '.resized_height: no key of a video'),
        ({'video': 'clip.mp4', 'fps': 0}, '.fps is 0, expected a number of frames a second above 0'),
        ({'video': 'clip.mp4', 'fps': 2, 'nframes': 4}, '.nframes is 4 beside fps=2'),
        ({'video': 'clip.mp4', 'nframes': 22}, ".video: video '{tmp}/clip.mp4': nframes is 22, which is 22 as a"),
        ({'video': 'clip.mp4', 'video_start': 5}, ".video: video '{tmp}/clip.mp4': video_start is 5 s, and no frame"),
        ({'video': 'clip.mp4', 'max_pixels': 50}, '.max_pixels is 50, expected at least 784'),
        ({'video': 'clip.mp4', 'sample_fps': 2}, '.sample_fps: only a list of frames needs a rate'),
        ({'video': ['0.png'], 'sample_fps': 'two'}, ".sample_fps is 'two', expected a number of frames a second"),
        (
            {'video': ['0.png'], 'sample_fps': 4, 'raw_fps': 3},
            ".video: video '1 frames from {tmp}/0.png': raw_fps is 3",
        ),
        ({'video': ['0.png'], 'fps': 1}, '.fps: frames of a list are chosen by their rate; give it as sample_fps'),
        ({'video': 'cut.mp4'}, ".video: video '{tmp}/cut.mp4' is cut off"),
    ],
)
def test_errors_name_line_part_and_key(write_jsonl, record_with_videos, tmp_path, part, message):
    content = (tmp_path / 'clip.mp4').read_bytes()
    (tmp_path / 'cut.mp4').write_bytes(content[: len(content) // 2])
    path = write_jsonl(record_with_videos, with_video(record_with_videos, **part))
    message = re.escape(f'{path}:2: messages[0].content[0]' + message.format(tmp=tmp_path))
    with pytest.raises(ValueError, match=message):
        ChatDataset(path)


def test_only_users_show_videos(write_jsonl, record_with_videos):
    record_with_videos['messages'][1]['content'] = [{'type': 'video', 'video': 'clip.mp4'}]
    with pytest.raises(ValueError, match=r'only a user message may hold a video, this one is of role "assistant"'):
        ChatDataset(write_jsonl(record_with_videos))


def test_a_frame_that_is_damaged_is_named_on_access(write_jsonl, record_with_videos, tmp_path):
    dataset = ChatDataset(write_jsonl(record_with_videos))
    content = (tmp_path / '3.png').read_bytes()
    (tmp_path / '3.png').write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"image '.*3\.png' cannot be read"):
        dataset[0]


# --- what the model gets


def test_the_batch_is_the_stock_processors(write_jsonl, record_with_videos, processor, tmp_path):
    """Of frames as they are in the files; the stock processor takes one size a call, so one video at a time."""
    dataset = ChatDataset(write_jsonl(record_with_videos))
    batch = ChatCollator(processor)([dataset[0]])
    frames = read_clip([tmp_path / f'{number}.png' for number in range(5)], fps=4)
    clip = read_clip(tmp_path / 'clip.mp4', sampling=FrameSampling(fps=4, video_end=1.0))
    pixels, grids, seconds = [], [], []
    for video, largest in ((frames, 4000), (clip, 784 * 4)):
        read = processor(
            text=['<|video_pad|>'],
            videos=[video.frames],
            return_tensors='pt',
            videos_kwargs={
                'do_sample_frames': False,
                'video_metadata': [video.metadata],
                'size': {'shortest_edge': 784, 'longest_edge': largest},
            },
        )
        pixels.append(read['pixel_values_videos'])
        grids.append(read['video_grid_thw'])
        seconds.append(read['second_per_grid_ts'])
    assert torch.equal(batch['pixel_values_videos'], torch.cat(pixels))
    assert torch.equal(batch['video_grid_thw'], torch.cat(grids))
    assert batch['video_grid_thw'].tolist() == [[3, 2, 6], [2, 2, 4]]
    assert torch.equal(batch['second_per_grid_ts'], torch.cat(seconds))
    assert batch['second_per_grid_ts'].tolist() == pytest.approx([0.5, 2 / (4 / 11 * 10)])
    tokens = ' '.join(processor.tokenizer.convert_ids_to_tokens(batch['input_ids'][0])).replace('<|video_pad|> ', 'V ')
    assert '<|vision_start|> ' + 9 * 'V ' + '<|vision_end|>' in tokens
    assert '<|vision_start|> ' + 4 * 'V ' + '<|vision_end|>' in tokens
    assert (batch['mm_token_type_ids'] == 2).sum() == 13
    trained = batch['labels'][0][batch['labels'][0] >= 0]
    answers = ['left', '<|im_end|>', 'the', 'right', '<|im_end|>']
    assert processor.tokenizer.convert_ids_to_tokens(trained) == answers


def test_a_batch_equals_its_conversations_one_by_one(write_jsonl, record_with_videos, record, processor, tiny_model):
    file = with_video(record_with_videos, video='clip.mp4', nframes=2, max_pixels=784 * 2)
    dataset = ChatDataset(write_jsonl(record_with_videos, record, file))
    collator = ChatCollator(processor)
    together = collator([dataset[index] for index in range(3)])
    tiny_model.eval()
    with torch.no_grad():
        logits = tiny_model(**together).logits
        for index in range(3):
            alone = collator([dataset[index]])
            length = alone['input_ids'].shape[1]
            assert torch.equal(together['input_ids'][index, :length], alone['input_ids'][0])
            assert torch.equal(together['labels'][index, :length], alone['labels'][0])
            torch.testing.assert_close(logits[index, :length], tiny_model(**alone).logits[0], rtol=0, atol=1e-5)


def raised(call):
    with pytest.raises(ValueError) as error:
        call()
    return str(error.value)


@pytest.mark.parametrize('max_length', [None, 12, 24, 38])
def test_check_says_what_a_call_would_say(write_jsonl, record_with_videos, processor, max_length):
    dataset = ChatDataset(write_jsonl(record_with_videos))
    collator = ChatCollator(processor, max_length=max_length)
    check = (dataset.without_images(0), dataset.image_sizes(0), dataset.video_shapes(0))
    if max_length is None:
        collator.check(*check)
        collator([dataset[0]])
        return
    message = raised(lambda: collator.check(*check))
    assert message == raised(lambda: collator([dataset[0]]))
    assert f'cutting to max_length={max_length} loses image or video tokens' in message


def test_frames_that_are_no_tokens(processor):
    clip = Clip(frames=torch.zeros(2, 3, 50, 56, dtype=torch.uint8), indices=(0, 1), source_fps=2.0,
                num_source_frames=2, name='walk')  # fmt: skip
    messages = [{'role': 'user', 'content': [{'type': 'video'}]}, {'role': 'assistant', 'content': 'left'}]
    conversation = Conversation(messages=messages, images=[], videos=[clip], video_names=('walk',), source='line 1')
    message = "line 1: video 'walk' has frames of 56 x 50 px, expected multiples of 28; read it with FrameSize(unit=28"
    with pytest.raises(ValueError, match=re.escape(message)):
        ChatCollator(processor)([conversation])
    with pytest.raises(ValueError, match=re.escape(message)):
        ChatCollator(processor).check(conversation, [], [(2, 3, 50, 56)])


def test_a_template_that_knows_no_videos(write_jsonl, record_with_videos, processor, monkeypatch):
    monkeypatch.setattr(processor, 'chat_template', processor.chat_template.replace('<|video_pad|>', ''))
    dataset = ChatDataset(write_jsonl(record_with_videos))
    with pytest.raises(ValueError, match=r'data\.jsonl:1: the chat template shows 0 videos, the conversation has 2'):
        ChatCollator(processor).check(dataset.without_images(0), dataset.image_sizes(0), dataset.video_shapes(0))


def test_the_size_of_videos_is_saved_with_the_processor(processor, monkeypatch, tmp_path):
    monkeypatch.setattr(processor, 'video_processor', copy.deepcopy(processor.video_processor))
    frame_size = frame_size_for(processor, min_pixels=784, max_pixels=4000)
    assert frame_size == FrameSize(unit=28, min_pixels=784, max_pixels=4000)
    set_video_size(processor, frame_size)
    assert dict(processor.video_processor.size) == {'shortest_edge': 784, 'longest_edge': 4000}
    video = write_video(tmp_path / 'clip.mp4', num_frames=4)
    as_trained = read_clip(video, frame_size=frame_size)
    read = processor.video_processor(
        [read_clip(video).frames], do_sample_frames=False, video_metadata=[as_trained.metadata], return_tensors='pt'
    )
    _, _, height, width = as_trained.frames.shape
    assert read['video_grid_thw'].tolist() == [[2, height // 14, width // 14]]
    with pytest.raises(ValueError, match='min_pixels is -1, expected an integer of at least 1'):
        frame_size_for(processor, min_pixels=-1)


def test_the_size_of_a_frame_cannot_be_set_where_all_count_together(processor, monkeypatch):
    monkeypatch.setattr(processor, 'video_processor', Qwen3VLVideoProcessor())
    with pytest.raises(
        ValueError, match='cannot be set in a Qwen3VLVideoProcessor, which bounds all frames of a video'
    ):
        set_video_size(processor, FrameSize(unit=32))
    assert dict(processor.video_processor.size) == Qwen3VLVideoProcessor.size


def test_large_frames_are_refused(write_jsonl, record_with_videos):
    path = write_jsonl(record_with_videos)
    with pytest.raises(
        ValueError, match=r'content\[0\]\.video: image .*0\.png.* has 90 x 50 px, more than max_pixels=4,4'
    ):
        ChatDataset(path, max_pixels=90 * 50 - 1)
    Image.new('RGB', (84, 56)).save(path.parent / '4.png')
    with pytest.raises(ValueError, match=r'frame 4 .* has 84 x 56 px .*, frame 0 .* has 90 x 50'):
        ChatDataset(path)
