"""Checks datasets of videos: every frame once, every mask, every phrase."""

from collections.abc import Iterator, Sequence

from tqdm import tqdm

from flmm.data_check.problems import Problem, Problems
from flmm.data_check.summary import Summary, shared
from flmm.data_check.video_source import VideoSource


def check_videos(sources: Sequence[VideoSource], problems: Problems, *, headers_only: bool = False) -> list[Summary]:
    """Check the items of some datasets, with a progress bar; add what is wrong to ``problems``.

    Args:
        sources: the datasets.
        problems: those found so far.
        headers_only: True reads no pixels of frames: damage behind their headers is not found.

    Returns:
        A summary for each dataset, whose images are frames.
    """
    summaries = []
    owners: dict[str, set[int]] = {}
    for number, source in enumerate(sources):
        checks = _Checks(source, headers_only=headers_only)
        for index in tqdm(range(len(source.dataset)), unit='item', desc=source.label):
            item = source.dataset.get_data_info(index)
            owners.setdefault(item['video_path'], set()).add(number)
            for kind, message in checks.check_item(item):
                problems.add(Problem(kind=kind, message=message, datasets=(source.label,), image=item['video_path']))
        summaries.append(checks.summary)
    for problem in shared(sources, owners.values(), what='videos'):
        problems.add(problem)
    return summaries


class _Checks:
    """The checks of one dataset."""

    def __init__(self, source: VideoSource, *, headers_only: bool) -> None:
        self.source, self.headers_only = source, headers_only
        self.summary = Summary(label=source.label)
        self.sizes: dict[str, tuple[int, int] | None] = {}
        """(height, width) of each frame that was read; None of a broken one."""

    def check_item(self, item: dict) -> Iterator[tuple[str, str]]:
        """Count an item, and yield the kind of each problem and its message."""
        counts, values = self.summary.counts, self.summary.values
        for path in item['frame_paths']:
            if path not in self.sizes:
                yield from self._read(path)
        sizes = {self.sizes[path] for path in item['frame_paths']}
        if len(sizes - {None}) > 1:
            yield 'image size', f'video {item["video_path"]!r} has frames of several sizes; resize them to one'
        counts['items'] += 1
        counts['phrases'] += len(item['text'])
        self.summary.kinds.update(info.kind for info in item['phrase_infos'] if info.kind is not None)
        if item['masks'] is not None:
            counts['no target'] += sum(not objects for objects in item['masks'])
            counts['several targets'] += sum(len(objects) > 1 for objects in item['masks'])
            if None not in sizes:
                yield from self._draw(item)
        for text in item['text']:
            yield from self._tokenize(item['video_path'], text)
        values['phrases'].append(len(item['text']))

    def _read(self, path: str) -> Iterator[tuple[str, str]]:
        load_image = self.source.to_clip.load_image
        try:
            if self.headers_only:
                size = load_image.read_size(path)
            else:
                loaded = load_image.transform({'img_path': path})
                size = (loaded['height'], loaded['width'])
        except ValueError as error:
            self.sizes[path] = None
            yield 'image absent' if isinstance(error.__cause__, FileNotFoundError) else 'image unreadable', str(error)
            return
        self.sizes[path] = size
        self.summary.counts['images'] += 1
        self.summary.values['height'].append(size[0])
        self.summary.values['width'].append(size[1])

    def _draw(self, item: dict) -> Iterator[tuple[str, str]]:
        if self.source.load_masks is None:
            return
        try:
            masks = self.source.load_masks.transform(dict(item))['gt_masks'][range(len(item['frame_paths']))]
        except ValueError as error:
            yield 'mask', str(error)
            return
        shares = 100 * masks.sum(dim=(2, 3)) / masks[0, 0].numel()  # [F, M], where the mean would copy all to float
        self.summary.values['share'] += shares[shares > 0].tolist()

    def _tokenize(self, path: str, text: str) -> Iterator[tuple[str, str]]:
        try:
            pieces = self.source.to_clip.to_sample.text_tokenizer.phrases([text], separated=False)
        except ValueError as error:
            yield 'phrase', f'video {path!r}: {error}'
            return
        self.summary.values['length'].append(sum(len(ids) for ids, number in pieces if number >= 0))
