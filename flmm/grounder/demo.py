"""The small grounder that comes with the package: to try it at once, offline, on a CPU."""

from pathlib import Path


def demo_folder() -> Path:
    """Return the folder of the demo grounder, for ``Grounder.from_pretrained``; it knows drawn shapes alone.

    >>> Grounder.from_pretrained(demo_folder())('shapes.png', ['the red circle']).masks  # [1, height, width]
    """
    package = Path(__file__).parents[1]
    installed = package / 'demo_grounder'  # where a wheel has it
    return installed if installed.is_dir() else package.parent / 'assets'
