import pytest
from transformers import Trainer, TrainingArguments

from flmm.finetune import ChatCollator, ChatDataset, freeze_parts


def test_trainer_lowers_the_loss(write_jsonl, record, processor, tiny_model, tmp_path):
    frozen = {name: p.clone() for name, p in tiny_model.model.visual.blocks.named_parameters()}
    freeze_parts(tiny_model, ['vision'])
    trainer = Trainer(
        model=tiny_model,
        args=TrainingArguments(
            output_dir=tmp_path / 'out',
            max_steps=12,
            learning_rate=1e-2,
            per_device_train_batch_size=2,
            remove_unused_columns=False,
            logging_steps=1,
            save_strategy='no',
            report_to='none',
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=ChatDataset(write_jsonl(record, record)),
        data_collator=ChatCollator(processor),
    )
    trainer.train()
    losses = [entry['loss'] for entry in trainer.state.log_history if 'loss' in entry]
    assert losses[-1] < 0.5 * losses[0]
    for name, parameter in tiny_model.model.visual.blocks.named_parameters():
        assert (parameter == frozen[name]).all(), name


def test_freeze_parts(tiny_model):
    total = tiny_model.num_parameters()
    merger = sum(p.numel() for p in tiny_model.model.visual.merger.parameters())
    tower = sum(p.numel() for p in tiny_model.model.visual.parameters()) - merger
    assert freeze_parts(tiny_model, []) == total
    assert freeze_parts(tiny_model, ['vision']) == total - tower
    assert freeze_parts(tiny_model, ['vision', 'language']) == merger
    with pytest.raises(ValueError, match='leaves nothing to train'):
        freeze_parts(tiny_model, ['merger'])


def test_freeze_parts_names_the_choices(tiny_model):
    with pytest.raises(
        ValueError, match=r"unknown part 'head' to freeze; choose from \['language', 'merger', 'vision'\]"
    ):
        freeze_parts(tiny_model, ['head'])
