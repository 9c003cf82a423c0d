import torch
from PIL import Image
from predicted_samples import predicted_sample, random_masks

from flmm.registry import HOOKS


def sample_of(dataset_name, sample_idx, *, num_masks=1, image_path='folder/photo.jpg'):
    masks = [random_masks(num_masks, 10, 12, seed=seed) for seed in range(3)]
    return predicted_sample(
        *masks, attentions=torch.rand(num_masks, 2, 2, 2), dataset_name=dataset_name, sample_idx=sample_idx,
        image_path=image_path,
    )  # fmt: skip


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*.*'))


def test_one_picture_for_each_sample(tmp_path):
    hook = HOOKS.build({'type': 'VisualizationHook', 'out_dir': str(tmp_path / 'made' / 'shown')})
    hook.after_test_iter(None, 0, {}, [sample_of('val', 3, num_masks=2), sample_of('val', 3)])
    hook.after_test_iter(None, 1, {}, [sample_of('testA', 0, image_path='other.png'), sample_of('val', 4)])

    shown = tmp_path / 'made' / 'shown'
    assert names(shown) == ['testA/other_0_0.png', 'val/photo_3_0.png', 'val/photo_3_1.png', 'val/photo_4_2.png']
    assert Image.open(shown / 'val' / 'photo_3_0.png').size == (1050, 470)
    assert Image.open(shown / 'val' / 'photo_3_1.png').size == (1050, 235)


def test_at_most_so_many_pictures_for_each_dataset(tmp_path):
    hook = HOOKS.build({'type': 'VisualizationHook', 'out_dir': str(tmp_path), 'max_samples': 2})
    for index in range(3):
        hook.after_test_iter(None, index, {}, [sample_of('a', index), sample_of('b', index)])
    assert names(tmp_path) == ['a/photo_0_0.png', 'a/photo_1_1.png', 'b/photo_0_0.png', 'b/photo_1_1.png']
