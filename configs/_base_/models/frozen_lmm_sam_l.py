"""F-LMM's model with SAM ViT-L. A config adds the LMM."""

model = dict(
    mask_head=dict(type='UNetHead', base_channels=64, upsample_input=64),
    sam=dict(
        type='SAMWrapper',
        sam=dict(type='build_sam', model_type='vit_l', checkpoint='checkpoints/sam_vit_l_0b3195.pth'),
    ),
    loss_mask=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True, reduction='mean', loss_weight=1.0),
    loss_dice=dict(
        type='mmdet.DiceLoss',
        use_sigmoid=True,
        activate=True,
        reduction='mean',
        naive_dice=True,
        eps=1.0,
        loss_weight=1.0,
    ),
    loss_iou=dict(type='mmdet.MSELoss', reduction='mean', loss_weight=1.0),
)
