"""How to run: the same for every config."""

default_scope = 'flmm'
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    throughput=dict(type='ThroughputHook'),
    logger=dict(type='TableLoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # For save_best: of which metrics larger is better, GroundingMetric's, VideoMetric's first and those that mmengine knows.
    checkpoint=dict(
        type='CheckpointHook',
        interval=1,
        max_keep_ckpts=2,
        greater_keys=[
            'IoU',
            'acc',
            'top',
            'AR@',
            'auc',
            'precision',
            'mAP',
            'mDice',
            'mAcc',
            'aAcc',
            'Pr@',
            '/AR',
            'J&F',
        ],
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    # Here, not in custom_hooks: a config that sets those would lose them without a word.
    finite_check=dict(type='FiniteCheckHook', max_streak=1),
    finite_checkpoint=dict(type='FiniteCheckpointHook'),
    frozen_parts=dict(type='FrozenPartsHook'),
    random_state=dict(type='RandomStateHook'),
    plain_checkpoint=dict(type='PlainCheckpointHook'),
    validation_record=dict(type='ValidationRecordHook'),
    stop=dict(type='StopHook'),
    skipped_items=dict(type='SkippedItemsHook'),
    hanging_ranks=dict(type='HangingRanksHook'),
)
env_cfg = dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
# Averaged over the last 10 iterations in the log; other scalars are those of the last one.
log_processor = dict(by_epoch=True, mean_pattern=r'.*(loss|time|grad_norm|_per_s|kept_tokens).*')
visualizer = dict(type='Visualizer', vis_backends=['LocalVisBackend'])  # and others, docs/logs.md
randomness = dict(seed=0)
val_cfg = dict()
test_cfg = dict()
val_evaluator = dict(type='GroundingMetric')
test_evaluator = dict(type='GroundingMetric', num_bootstrap=1000)  # with 95 % intervals
