"""What keeps the adaptive classes interchangeable with the stock ones: loading, saving and the arguments of methods."""

import copy
import functools
import inspect
from collections.abc import Callable

from torch import Tensor
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_checkpoint_conversion_mapping, register_checkpoint_conversion_mapping


def refuse_remote_code(settings: dict[str, object]) -> None:
    """Check the keyword arguments of a ``from_pretrained``.

    Raises:
        ValueError: ``trust_remote_code`` is set. None and False are what the adaptive classes do anyway.
    """
    if settings.get('trust_remote_code'):
        raise ValueError(
            f'trust_remote_code is {settings["trust_remote_code"]!r}: the adaptive classes are this package and '
            "transformers' own code and never run what lies beside a checkpoint; leave the argument out"
        )


class StockCheckpoint:
    """Loads and saves checkpoints of the stock class, which comes next among the bases: no parameter differs.

    ``_stock_name`` is the name of that class, as :func:`adapts` sets it.
    """

    _stock_name: str

    @classmethod
    @functools.wraps(PreTrainedModel.from_pretrained.__func__, assigned=())  # the signature
    def from_pretrained(cls, *args: object, **kwargs: object) -> PreTrainedModel | tuple[PreTrainedModel, dict]:
        """Load a stock checkpoint; arguments and errors as in the stock class, but for ``trust_remote_code``.

        Raises:
            ValueError: ``trust_remote_code`` is set.
        """
        refuse_remote_code(kwargs)
        return super().from_pretrained(*args, **kwargs)

    @functools.wraps(PreTrainedModel.save_pretrained, assigned=())
    def save_pretrained(self, *args: object, **kwargs: object) -> None:
        """Save as the stock class does, under its name, by which AutoModel finds it with and without this package."""
        # The stock method writes the name of the class into the config. A shallow copy shares the weights.
        named = copy.copy(self)
        named.__class__ = type(self._stock_name, (type(self),), {})
        super(StockCheckpoint, named).save_pretrained(*args, **kwargs)


def adapts(stock: type[PreTrainedModel]) -> Callable[[type], type]:
    """Decorate a StockCheckpoint that stands in for ``stock``: its methods take the layout beside the stock arguments.

    So do methods that it leaves as they are: the stock ones hand what they don't know to the inner model.
    """

    def decorate(adaptive: type) -> type:
        adaptive._stock_name = stock.__name__
        for name in ('forward', 'get_image_features', 'get_rope_index'):
            if hasattr(stock, name):
                setattr(adaptive, name, with_layout(getattr(stock, name), getattr(adaptive, name)))
        # Checkpoints of Qwen2-VL name their weights as it was first released; transformers knows by class name how to
        # read them.
        renaming = get_checkpoint_conversion_mapping(stock.__name__)
        if renaming is not None:
            register_checkpoint_conversion_mapping(adaptive.__name__, renaming, overwrite=True)
        return adaptive

    return decorate


def with_layout(stock_method: Callable, method: Callable) -> Callable:
    """Give ``method`` the signature of ``stock_method`` with ``image_layout`` and ``image_num_tokens`` added.

    What is added comes by keyword alone, so that the stock arguments keep their places; generate() and Trainer look
    into the signature for them. The method gets all by keyword, as the families order their arguments differently.
    """
    signature = inspect.signature(stock_method)
    self_, *stock, others = signature.parameters.values()
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Tensor | None)
        for name in ('image_layout', 'image_num_tokens')
    ]
    names = [parameter.name for parameter in stock]

    @functools.wraps(method)
    def by_keyword(self: PreTrainedModel, *args: object, **kwargs: object) -> object:
        if len(args) > len(names):
            raise TypeError(f'{method.__name__} takes {len(names)} arguments by position, got {len(args)}')
        return method(self, **dict(zip(names, args, strict=False)), **kwargs)

    by_keyword.__signature__ = signature.replace(parameters=[self_, *stock, *added, others])
    by_keyword.__annotations__ = stock_method.__annotations__ | {each.name: each.annotation for each in added}
    return by_keyword
