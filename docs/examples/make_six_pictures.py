"""Draw six pictures and annotate them as LabelMe would: NAME.jpg beside NAME.json, polygons labelled with a phrase.

python docs/examples/make_six_pictures.py data/six_pictures
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from PIL import Image

from flmm.shapes import DIFFICULTY, KINDS, SceneSample, generate_split


def labelme_file(sample: SceneSample, name: str) -> dict:
    """Return what LabelMe would write: a polygon for each shape that a phrase refers to."""
    height, width = sample.image.shape[:2]
    shapes = [
        {
            'label': reference.sentences[0].text,
            'points': sample.scene.shapes[reference.shape_indices[0]].contours[0].round(2).tolist(),
            'group_id': None,
            'shape_type': 'polygon',
            'flags': {},
        }
        for reference in sample.references
    ]
    return {
        'version': '5.5.0', 'flags': {}, 'shapes': shapes, 'imagePath': f'{name}.jpg', 'imageData': None,
        'imageHeight': height, 'imageWidth': width,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help='folder to write into')
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    # Shapes that hide nothing of each other and have no hole: each is one polygon.
    config = replace(DIFFICULTY['easy'], kinds=tuple(kind for kind in KINDS if kind != 'ring'))
    for number, sample in enumerate(generate_split(seed=12, split='train', num_images=6, config=config), start=1):
        name = f'picture_{number}'
        Image.fromarray(sample.image).save(folder / f'{name}.jpg', quality=95)
        (folder / f'{name}.json').write_text(json.dumps(labelme_file(sample, name), indent=2), encoding='utf-8')


if __name__ == '__main__':
    main()
