"""The demo's model on three drawn images, with weights that a formula gives: outputs that no change may move.

tests/artifacts/make_golden_demo.py stores what they are.
"""

from pathlib import Path

import numpy as np
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import DefaultScope
from PIL import Image, ImageDraw
from torch import Tensor

from flmm.config import read_config
from flmm.grounder import Grounder
from flmm.models import FrozenLMM
from flmm.registry import MODELS, TRANSFORMS
from flmm.shapes import DIFFICULTY, generate_sample

ROOT = Path(__file__).parents[2]
CONFIGS = ('configs/shapes/demo.py', 'configs/shapes/demo_budget_30.py')
SCENES = (
    (
        (224, 224),
        {
            'the red circle': ('ellipse', (30, 40, 90, 100), 'red'),
            'blue square': ('rectangle', (120, 110, 190, 180), 'blue'),
        },
    ),
    ((168, 280), {'the green square on the left': ('rectangle', (20, 30, 100, 120), 'green')}),
    (
        (300, 200),
        {
            'circle': ('ellipse', (60, 150, 150, 240), 'yellow'),
            'the shape at the top': ('rectangle', (90, 20, 170, 80), 'purple'),
            'a star': ('ellipse', (10, 90, 50, 130), 'red'),
        },
    ),
)
STRIDE = 4
"""Logits are stored at every fourth pixel in both directions."""


def drawn_item(number: int) -> dict:
    """What RefCOCO2PNG takes, of scene ``number``: a gradient with shapes on it."""
    (height, width), shapes = SCENES[number]
    rows, columns = np.mgrid[:height, :width]
    background = np.stack([80 + rows % 64, 90 + columns % 64, 100 + (rows + columns) % 64], axis=-1)
    image = Image.fromarray(background.astype(np.uint8))
    masks = []
    for kind, box, colour in shapes.values():
        getattr(ImageDraw.Draw(image), kind)(box, fill=colour)
        mask = Image.new('L', image.size)
        getattr(ImageDraw.Draw(mask), kind)(box, fill=1)
        masks.append(np.asarray(mask))
    return {
        'img_path': f'scene_{number}.png',
        'image': image,
        'text': list(shapes),
        'gt_masks': BitmapMasks(np.stack(masks), height, width),
    }


def set_by_formula(model: FrozenLMM) -> None:
    """Give mask head, projection and weights of layers numbers that depend on no generator and no version of one."""
    with torch.no_grad():
        for index, (name, parameter) in enumerate(sorted(model.named_parameters())):
            if parameter.ndim > 1 and name.startswith(('mask_head', 'text_proj')):
                wave = (torch.arange(parameter.numel(), dtype=torch.float64) * 0.7548776662 + index).sin()
                fan_in = parameter[0].numel()
                parameter.copy_((wave * (4 / fan_in) ** 0.5).reshape(parameter.shape))
        model.text_proj.bias.zero_()
        model.text_layer_weights.copy_(torch.linspace(-1, 1, len(model.text_layer_weights)))


def golden_outputs() -> tuple[dict[str, Tensor], dict[str, list[int]]]:
    """Attention maps, coarse and refined logits of every scene, and the losses; and the shapes of the trained part."""
    outputs = {}
    for path in CONFIGS:
        config = read_config(ROOT / path)
        with DefaultScope.overwrite_default_scope('flmm'):
            # Without loss_iou and in one sequence, as these numbers were stored.
            model = MODELS.build({**config.model, 'loss_iou': None}).eval()
            to_sample = TRANSFORMS.build({**config.test_dataloader.dataset.pipeline[-1], 'independent': False})
        set_by_formula(model)
        # In float32 the order of sums, another with each number of threads, moves coarse logits by 3e-5.
        for part in (model.lmm, model.mask_head):
            part.double()
        name = Path(path).stem
        samples = [to_sample.transform(drawn_item(number)) for number in range(len(SCENES))]
        for number, sample in enumerate(model(samples, mode='predict')):
            outputs[f'{name}.{number}.attentions'] = sample.mask_attentions
            outputs[f'{name}.{number}.coarse'] = sample.pred_masks[:, ::STRIDE, ::STRIDE].contiguous()
            outputs[f'{name}.{number}.refined'] = sample.sam_pred_masks[:, ::STRIDE, ::STRIDE].contiguous()
        losses = model(samples, mode='loss')
        outputs |= {f'{name}.{key}': value.detach() for key, value in losses.items()}
        shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    return outputs, shapes


def checkpoint_outputs() -> dict[str, Tensor]:
    """Logits, IoUs, scores and existence on three scenes of val, by the grounder of assets/, as users call it."""
    ground = Grounder.from_pretrained(ROOT / 'assets')
    outputs = {}
    for number in range(3):
        scene = generate_sample(number, seed=0, split='val', config=DIFFICULTY['medium'])
        found = ground(scene.image, [reference.sentences[0].text for reference in scene.references])
        truth = torch.from_numpy(
            scene.masks[[index for reference in scene.references for index in reference.shape_indices]]
        )
        outputs[f'{number}.scores'], outputs[f'{number}.existence'] = found.scores, found.existence
        for name, logits in (('coarse', found.coarse.in_image()), ('refined', found.refined.in_image())):
            outputs[f'{number}.{name}'] = logits[:, ::16, ::16].contiguous()
            masks = logits > 0
            outputs[f'{number}.{name}.iou'] = (masks & truth).sum(dim=(1, 2)) / (masks | truth).sum(dim=(1, 2))
    return outputs
