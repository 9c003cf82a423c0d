"""meta_expressions.json, in which Ref-YouTube-VOS, Ref-DAVIS and MeViS say which words mean what in a video."""

import reprlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flmm.datasets.annotation_file import ID_FORM, Id, check_entry, is_id
from flmm.json_files import brief, read_json
from flmm.text import prepare_phrase


@dataclass(frozen=True, kw_only=True)
class VideoExpression:
    """Words about a video.

    Args:
        expression_id: its key in the file.
        text: the words.
        kind: what kind of expression it is; None where the file does not say.
        object_ids: what it means, by the object's id in the palette PNGs; None where the file does not say.
        mask_ids: what it means, by the keys of MeViS's file of masks; None where the file does not say.
    """

    expression_id: str
    text: str
    kind: str | None
    object_ids: list[Id] | None
    mask_ids: list[Id] | None


@dataclass(frozen=True, kw_only=True)
class AnnotatedVideo:
    """A video and what is said of it.

    Args:
        name: its key in the file, and the name of its folder of frames.
        frame_names: names of its frames, without '.jpg', in order of time.
        fps: how many of these frames there are in a second; None where the file does not say, as public ones do not.
        expressions: what is said of it.
    """

    name: str
    frame_names: list[str]
    fps: float | None
    expressions: list[VideoExpression]


def read_expressions(path: str) -> list[AnnotatedVideo]:
    """Read and check a file of expressions.

    Raises:
        ValueError: it is no JSON or has another form; the message names file, video, expression and key.

    >>> read_expressions('data/shapes_video/meta_expressions/val/meta_expressions.json')[0].expressions[0].text
    'the shape that stops'
    """
    where = f'ann_file {path!r}'
    content = read_json(path, setting='ann_file')
    videos = content.get('videos') if isinstance(content, dict) else None
    if not isinstance(videos, dict):
        raise ValueError(f'{where} is {brief(content)}, expected an object whose "videos" are an object by name')
    if not videos:
        raise ValueError(f'{where} has no video; get the original file again')
    _check_names('video', videos, where=where)
    return [_video(name, video, where=f'video {name!r} of {where}') for name, video in videos.items()]


def _check_names(what: str, names: Iterable[str], *, where: str) -> None:
    """Refuse names that are no names of files or folders, as which masks are written."""
    for name in names:
        if name in ('', '.', '..') or set(name) & {'/', '\\', '\0'}:
            raise ValueError(f'{where} has the {what} {reprlib.repr(name)}, expected a name without slashes')


def _video(name: str, video: Any, *, where: str) -> AnnotatedVideo:
    check_entry(video, keys=['expressions', 'frames'], where=where)
    frames, expressions, fps = video['frames'], video['expressions'], video.get('fps')
    if not isinstance(frames, list) or not frames or not all(isinstance(frame, str) and frame for frame in frames):
        raise ValueError(f'{where} has frames {brief(frames)}, expected a list of names without .jpg')
    _check_names('frame', frames, where=where)
    if len(set(frames)) < len(frames):
        repeated = next(frame for frame in frames if frames.count(frame) > 1)
        raise ValueError(f'{where} has the frame {repeated!r} twice; leave one out')
    if fps is not None and (isinstance(fps, bool) or not isinstance(fps, (int, float)) or not fps > 0):
        raise ValueError(f'{where} has fps {reprlib.repr(fps)}, expected a number above 0')
    if not isinstance(expressions, dict):
        raise ValueError(f'{where} has expressions {brief(expressions)}, expected an object by id')
    _check_names('expression', expressions, where=where)
    found = [
        _expression(expression_id, entry, where=f'expression {expression_id!r} of {where}')
        for expression_id, entry in expressions.items()
    ]
    return AnnotatedVideo(name=name, frame_names=frames, fps=fps, expressions=found)


def _expression(expression_id: str, entry: Any, *, where: str) -> VideoExpression:
    check_entry(entry, keys=['exp'], where=where)
    kind = entry.get('kind')
    if kind is not None and not isinstance(kind, str):
        raise ValueError(f'{where} has kind {reprlib.repr(kind)}, expected a string')
    try:
        prepare_phrase(entry['exp'], lowercase=True)
    except ValueError as error:
        raise ValueError(f"{where}, key 'exp': {error}") from error
    return VideoExpression(
        expression_id=expression_id,
        text=entry['exp'],
        kind=kind,
        object_ids=_ids(entry, 'obj_id', where=where),
        mask_ids=_ids(entry, 'anno_id', where=where),
    )


def _ids(entry: dict[str, Any], key: str, *, where: str) -> list[Id] | None:
    """Return one id or several as a list, each once; of none, as where an expression has no target, an empty one."""
    if key not in entry:
        return None
    ids = entry[key] if isinstance(entry[key], list) else [entry[key]]
    if not all(is_id(each) for each in ids):
        raise ValueError(f'{where} has {key} {reprlib.repr(entry[key])}, expected {ID_FORM}, or a list of these')
    return list(dict.fromkeys(ids))
