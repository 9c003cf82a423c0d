"""mmengine's builder of optimizers, which says in a few lines which parameters learn at which rate."""

import logging
from collections import defaultdict

from mmengine.logging import MMLogger
from mmengine.optim import DefaultOptimWrapperConstructor as MMEngineConstructor
from mmengine.optim import OptimWrapper
from torch import nn

from flmm.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DefaultOptimWrapperConstructor(MMEngineConstructor):
    """Builds what mmengine's class of this name does; but logs a summary.

    mmengine logs one line for each setting of each trained parameter, and a warning for each frozen one: 200 lines for
    the smallest model, thousands for a real one.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer of ``model``, in its wrapper."""
        logger = MMLogger.get_current_instance()
        logger.addFilter(_is_no_single_parameter)
        try:
            wrapper = super().__call__(model)
        finally:
            logger.removeFilter(_is_no_single_parameter)
        logger.info(optimizer_summary(wrapper, model))
        return wrapper


def _is_no_single_parameter(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not message.startswith('paramwise_options -- ') and ' is skipped since its requires_grad=' not in message


def optimizer_summary(wrapper: OptimWrapper, model: nn.Module) -> str:
    """Say which parts of a model learn, by rate and weight decay.

    Returns:
        A line for each pair of the two, with the number of tensors, of values, and the names of the model's children.
    """
    model = getattr(model, 'module', model)  # within DistributedDataParallel
    names = {id(parameter): name.partition('.')[0] for name, parameter in model.named_parameters()}
    groups = defaultdict(list)
    for group in wrapper.optimizer.param_groups:
        key = ', '.join(f'{key} {group[key]:g}' for key in ('lr', 'weight_decay') if key in group)
        groups[key] += [parameter for parameter in group['params'] if parameter.requires_grad]
    groups['frozen'] = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    lines = [
        f'    {key}: {len(members)} tensors, {sum(member.numel() for member in members):,} values of '
        f'{", ".join(sorted({names[id(member)] for member in members}))}'
        for key, members in groups.items()
        if members
    ]
    return '\n'.join([f'{type(wrapper.optimizer).__name__}:', *lines])
