"""The model card of a grounder: README.md of its folder, which the hub shows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from flmm.json_files import brief, read_json
from flmm.plain_text import printable
from flmm.scoring.table import RUN_KEY, format_table

NOT_MEASURED = 'Not measured. `tools/test.py` measures a checkpoint; give its metrics.json to `save_pretrained`.'
TEXT = """\
# {title}

Masks for phrases of an image, read from the attention of a frozen multimodal model (F-LMM, "Grounding Frozen Large
Multimodal Models", CVPR 2025) with the package flmm {version}.

| part | what it is |
| --- | --- |
| LMM, frozen | {lmm} |
| SAM, its image encoder frozen | {sam} |
| trained | {trained} |
| phrases are read | {reading} |

The prompt before each phrase:

    {prompt}

## How to use it

```python
from flmm import Grounder

grounder = Grounder.from_pretrained({call})
found = grounder.read('photo.jpg').ground(['the dog on the left', 'its ball'])
found.masks, found.boxes, found.scores  # [2, height, width] bool, [2, 4] px, [2]
```

## What it reaches

{figures}

## Licences

The code of flmm is under Apache 2.0. LMM and SAM are under the licences of those who publish them. What was trained on
top is under the licence that its owner names here, who also knows the terms of the data it was trained on.{included}
"""


def read_metrics(metrics: str | Path | Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return metrics, or what a file of tools/test.py holds.

    Raises:
        ValueError: there is no such file, or it holds no JSON object.
    """
    if metrics is None:
        return None
    if isinstance(metrics, (str, Path)):
        path, metrics = str(metrics), read_json(str(metrics), setting='metrics')
        if not isinstance(metrics, dict):
            raise ValueError(f'metrics {path!r} holds {brief(metrics)}, expected the object that tools/test.py writes')
    if not isinstance(metrics, Mapping):
        raise ValueError(f'metrics are {brief(metrics)}, expected the path of a metrics.json, or what it holds')
    return dict(metrics)


def model_card(*, title: str, document: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> ModelCard:
    """Write the model card of a grounder.

    Args:
        title: what it is called: a name on the hub, 'owner/name', or that of a folder.
        document: its config.json.
        metrics: what was measured of it; None where nothing was.
    """
    model, to_sample = document['model'], document['to_sample']
    lmm, sam = model['lmm']['name_or_path'], model['sam']['sam']
    sam_weights = sam['name_or_path' if 'name_or_path' in sam else 'checkpoint']
    arguments = {'lmm': lmm, 'sam_checkpoint': sam_weights}
    given = [f'{name}={source["elsewhere"]!r}' for name, source in arguments.items() if 'elsewhere' in source]
    trained = [model['mask_head']['type'], *(['ExistenceHead'] if 'existence' in model else [])]
    data = ModelCardData(
        library_name='flmm',
        pipeline_tag='image-segmentation',
        tags=['f-lmm', 'referring-expression-segmentation'],
        base_model=lmm.get('hub'),
    )
    text = TEXT.format(
        title=title,
        version=document['flmm_version'],
        lmm=_named(lmm),
        sam=f'{sam.get("model_type", sam["type"])}: {_named(sam_weights)}',
        trained='nothing' if trained == ['AttentionThreshold'] else f"{', '.join(trained)}, SAM's decoder",
        reading='each by itself' if to_sample.get('independent', True) else 'all of a call in one sequence',
        prompt=printable(to_sample['prompt']),
        call=', '.join([repr(title), *given]),
        figures=NOT_MEASURED if metrics is None else _figures(metrics),
        included='\nThis folder has copies of LMM and SAM.' if 'folder' in lmm else '',
    )
    return ModelCard(f'---\n{data.to_yaml()}\n---\n\n{text}')


def _named(source: Mapping[str, Any]) -> str:
    if 'hub' in source:
        at = f' at {source["revision"]}' if source.get('revision') else ''
        return f'[{source["hub"]}](https://huggingface.co/{source["hub"]}){at}'
    return f'`{source["folder"]}` in this folder' if 'folder' in source else f'`{source["elsewhere"]}`'


def _figures(metrics: Mapping[str, Any]) -> str:
    run = metrics.get(RUN_KEY)
    lines = ['In percent, with half the width of the 95 % interval where that is known.', '', '```text']
    lines += [format_table(metrics), '```']
    if isinstance(run, Mapping):
        known = [f'{name} `{_public(str(run[name]))}`' for name in ('config', 'checkpoint', 'date') if run.get(name)]
        lines += ['', f'Measured by `tools/test.py`: {", ".join(known)}.']
    return '\n'.join(lines)


def _public(path: str) -> str:
    """Leave the folders of somebody's machine out of a path."""
    return Path(path).name if Path(path).is_absolute() else path
