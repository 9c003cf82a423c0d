"""Configs, processors and models of transformers, by folder or by their name on the hub.

The one place of the package that loads them, so that the same holds for all: code that a checkpoint brings along
(``auto_map``) is never run and never asked for, and a folder that does not exist is not looked for on the hub.
"""

import difflib
import os
import re
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from transformers import (
    PROCESSOR_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForMaskGeneration,
    AutoProcessor,
    PreTrainedConfig,
    PreTrainedModel,
    ProcessorMixin,
)

from flmm.unpickling import refusal_reason

HUB_NAME = re.compile(r'[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*')
"""owner/name. Names without an owner, which the hub has for a few old models, are taken for folders."""

MODEL_FILES = ('config.json',)
PROCESSOR_FILES = ('processor_config.json', 'preprocessor_config.json', 'tokenizer_config.json')

Loaded = TypeVar('Loaded')


def load_processor(name_or_path: str | os.PathLike, **kwargs: Any) -> ProcessorMixin:
    """Load a processor of images and text.

    Args:
        name_or_path: a folder, or else a name on the hub such as 'Qwen/Qwen2.5-VL-3B-Instruct'.
        **kwargs: AutoProcessor's.

    Raises:
        ValueError: no such folder or name, a folder without a processor, or one that needs code of its own.
    """
    source = checkpoint_source(name_or_path, needs=PROCESSOR_FILES)
    if not Path(source).is_dir() or Path(source, MODEL_FILES[0]).exists():
        config = load_lmm_config(source)
        name = getattr(config, 'processor_class', None)
        if name is None and type(config) in PROCESSOR_MAPPING:
            name = PROCESSOR_MAPPING[type(config)].__name__
        # AutoProcessor would go by the type of the config where no file names the class of the processor, and forgets
        # on that way that remote code is not wanted. A config without a type, but with the name, keeps it off.
        kwargs['config'] = PreTrainedConfig(processor_class=name)
    processor = _load(AutoProcessor.from_pretrained, source, **kwargs)
    if not isinstance(processor, ProcessorMixin):
        raise ValueError(
            f'{source!r} holds a {type(processor).__name__} alone, expected a processor of images and text'
        )
    return processor


def load_lmm_config(name_or_path: str | os.PathLike) -> PreTrainedConfig:
    """Load the config of an LMM; ``name_or_path`` and errors as in :func:`load_lmm`."""
    return _load(AutoConfig.from_pretrained, checkpoint_source(name_or_path, needs=MODEL_FILES))


def load_lmm(
    name_or_path: str | os.PathLike, *, dtype: torch.dtype, attn_implementation: str = 'sdpa', **kwargs: Any
) -> PreTrainedModel:
    """Load an LMM with its weights, all of them.

    Args:
        name_or_path: a folder, or else a name on the hub such as 'Qwen/Qwen2.5-VL-3B-Instruct'.
        dtype: precision of the weights.
        attn_implementation: transformers' name for it. Never the checkpoint's choice, which could be code of the hub.
        **kwargs: AutoModelForImageTextToText's.

    Raises:
        ValueError: no such folder or name, a folder without a model, one that needs code of its own, or a checkpoint
            that lacks weights of the model or has others.
    """
    source = checkpoint_source(name_or_path, needs=MODEL_FILES)
    return _load_whole(
        AutoModelForImageTextToText, source, dtype=dtype, attn_implementation=attn_implementation, **kwargs
    )


def load_sam(name_or_path: str | os.PathLike) -> PreTrainedModel:
    """Load a SAM of transformers with its weights, all of them, in float32; errors as in :func:`load_lmm`."""
    source = checkpoint_source(name_or_path, needs=MODEL_FILES)
    return _load_whole(AutoModelForMaskGeneration, source, dtype=torch.float32, attn_implementation='sdpa')


def load_video_sam(name_or_path: str | os.PathLike) -> PreTrainedModel:
    """Load a SAM of transformers whole, with what it has for video alone; otherwise as :func:`load_sam`."""
    source = checkpoint_source(name_or_path, needs=MODEL_FILES)
    return _load_whole(AutoModel, source, dtype=torch.float32, attn_implementation='sdpa')


def lmm_from_config(
    config: PreTrainedConfig, *, dtype: torch.dtype, attn_implementation: str = 'sdpa'
) -> PreTrainedModel:
    """Build the LMM that ``config`` describes with random weights; other arguments as in :func:`load_lmm`.

    Raises:
        ValueError: transformers has no such LMM of its own.
    """
    return AutoModelForImageTextToText.from_config(
        config, dtype=dtype, attn_implementation=attn_implementation, trust_remote_code=False
    )


def checkpoint_source(name_or_path: str | os.PathLike, *, needs: tuple[str, ...]) -> str:
    """Tell folders and names on the hub apart.

    Args:
        name_or_path: a folder (``~`` is the home folder), or a name on the hub. A folder that exists comes first.
        needs: a folder must have one of these files.

    Returns:
        The folder or name, as transformers takes it.

    Raises:
        ValueError: what can only be a folder and is none, or a folder without any of the files.
    """
    name = os.fspath(name_or_path)
    source = os.path.expanduser(name)
    path = Path(source)
    if path.is_dir():
        if not any((path / file).is_file() for file in needs):
            raise ValueError(f'folder {name!r} has no {" or ".join(needs)}; expected a checkpoint of transformers')
        return source
    if path.exists():
        raise ValueError(f'{name!r} is a file, expected the folder of a checkpoint of transformers')
    if not HUB_NAME.fullmatch(source) or Path(path.parts[0]).exists():
        raise ValueError(
            f'folder {name!r} does not exist{_where_looked_for(path)}. It is not looked for on the hub, where names '
            'are owner/name and no folder here has the name of the owner'
        )
    return source


def _load_whole(auto_class: Any, source: str, **kwargs: Any) -> PreTrainedModel:
    model, info = _load(
        auto_class.from_pretrained,
        source,
        config=load_lmm_config(source),  # AutoModel's own reading prefers the checkpoint's '_attn_implementation'
        output_loading_info=True,
        **kwargs,
    )
    problems = {what: sorted(map(str, keys)) for what, keys in info.items() if keys}
    if problems:
        raise ValueError(f'checkpoint {source!r} does not fit {type(model).__name__}: {problems}')
    return model


def _load(loader: Callable[..., Loaded], source: str, **kwargs: Any) -> Loaded:
    try:
        return loader(source, **kwargs, trust_remote_code=False)
    # ImportError: of a kernel of attention that is asked for; the last two: of files of weights
    except (ImportError, OSError, ValueError, UnpicklingError, SafetensorError) as error:
        if Path(source).is_dir():
            problem = f'folder {source!r} cannot be loaded'
        else:
            problem = (
                f'{source!r} is no folder here{_where_looked_for(Path(source))}, and the hub could not give a '
                'checkpoint of that name'
            )
        hint = '; code that a checkpoint brings along is never run' if 'trust_remote_code' in str(error) else ''
        raise ValueError(f'{problem}{hint} ({refusal_reason(error)})') from error


def _where_looked_for(path: Path) -> str:
    """Name the absolute path and the folder that comes nearest to it in writing, if one does."""
    absolute = Path(os.path.abspath(path))
    parent = absolute.parent
    while not parent.is_dir():
        absolute, parent = parent, parent.parent
    folders = [child.name for child in parent.iterdir() if child.is_dir()] if os.access(parent, os.R_OK) else []
    nearest = difflib.get_close_matches(absolute.name, folders, n=1)
    found = f'; {str(parent / nearest[0])!r} does' if nearest else ''
    return f' (looked for at {os.path.abspath(path)!r}{found})'
