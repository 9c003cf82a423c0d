"""Follow one sample through a config: every tensor with its shape and meaning, attention and masks as pictures.

    python tests/debug_frozen_qwen_forward.py configs/shapes/demo.py --checkpoint work_dirs/demo/epoch_1.pth

Builds the dataloader and the model of the config as training would, whatever the family of its LMM, takes one batch,
runs it, and writes the pictures to ``--out-dir``. Nothing is trained.
"""

import argparse
from pathlib import Path

import torch
from mmengine.config import DictAction
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from flmm.config import read_config
from flmm.models.build import build_model
from flmm.structures import GroundingSample
from flmm.visualization import draw_heads, draw_phrases, save_figure

SAMPLE_FIELDS = {
    'input_ids': 'tokens: chat prompt, image tokens, phrases',
    'mask_ids': 'which phrase each token belongs to; -1 is context',
    'masks': 'truth in the frame of the last view',
    'gt_masks': 'truth in the image frame',
}
FORWARD_FIELDS = {
    'mask_attentions': 'phrase -> image attention: mask, head (view after view), row, column of the last grid',
    'text_embeds': "each phrase token's hidden state, projected for SAM",
    'pred_masks': 'coarse logits in the image frame',
    'sam_pred_masks': 'refined logits in the image frame',
    'existence': 'how sure the model is that each phrase is in the image at all, 0 to 1',
    'exists': 'its verdict, by the threshold of the checkpoint',
}


def describe(name: str, value: object, meaning: str) -> str:
    """Return a line with the shape, dtype and range of a tensor, or of each tensor of a list."""
    tensors = value if isinstance(value, list) else [value]
    shapes = ' '.join(str(list(tensor.shape)) for tensor in tensors)
    numbers = torch.cat([tensor.detach().flatten().double() for tensor in tensors])
    spread = f'{numbers.min():.4g} .. {numbers.max():.4g}'
    return f'  {name:16} {shapes:24} {str(tensors[0].dtype).removeprefix("torch."):8} {spread:24} {meaning}'


def print_sample(sample: GroundingSample, fields: dict[str, str]) -> None:
    for name, meaning in fields.items():
        if getattr(sample, name) is not None:  # as text_embeds is where SAM reads no text
            print(describe(name, getattr(sample, name), meaning))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('--checkpoint', help='trained part; random without one')
    parser.add_argument('--loader', choices=['train', 'val', 'test'], default='val')
    parser.add_argument('--index', type=int, default=0, help='which batch of the loader')
    parser.add_argument('--out-dir', default='work_dirs/debug')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    args = parser.parse_args()

    config = read_config(args.config, args.cfg_options)
    init_default_scope(config.default_scope)
    dataloader = Runner.build_dataloader(config[f'{args.loader}_dataloader'], seed=0)
    if not 0 <= args.index < len(dataloader):
        raise ValueError(f'--index is {args.index}, the {args.loader} loader has {len(dataloader)} batches')
    batch = next(data for index, data in enumerate(dataloader) if index == args.index)
    model = build_model(config, checkpoint=args.checkpoint)
    if torch.cuda.is_available():
        model.cuda()

    print(f'{type(model).__name__} over {type(model.lmm).__name__}: {model.num_views} view(s), heads {model.heads}')
    grounded = model.test_step(batch)
    for number, sample in enumerate(grounded):
        print(f'\nsample {number}: {sample.image_path}, {sample.image_size[0]}x{sample.image_size[1]} px')
        for mask_id, phrase in enumerate(sample.phrases):
            tokens = (sample.mask_ids == mask_id).sum().item()
            print(f'  phrase {mask_id}: {phrase!r}, {tokens} tokens, {sample.gt_masks[mask_id].sum().item()} px')
        print(' from the pipeline')
        print_sample(sample, SAMPLE_FIELDS)
        for name, tensor in sample.lmm_inputs.items():
            print(describe(name, tensor, 'what the LMM takes beside the text, under its own name'))
        for index, view in enumerate(sample.views):
            print(f' view {index}: a grid of {view.layout.grid_size} cells over {view.meta_data}')
            print(describe('columns', view.columns, 'where its tokens lie in the sequence'))
            print(describe('layout', view.layout.tokens, 'top, left and size of each token in cells of the grid'))
        print(' from the model')
        print_sample(sample, FORWARD_FIELDS)
        out_dir = Path(args.out_dir)
        save_figure(draw_phrases([sample]), out_dir / f'sample_{number}_masks.png')
        save_figure(draw_heads(sample, heads=model.heads), out_dir / f'sample_{number}_heads.png')
    if model.is_trained:
        losses = model(model.data_preprocessor(batch)['data_samples'], mode='loss')
        print('\nlosses: ' + ', '.join(f'{name} {value.item():.4f}' for name, value in losses.items()))
    print(f'pictures: {args.out_dir}')


if __name__ == '__main__':
    main()
