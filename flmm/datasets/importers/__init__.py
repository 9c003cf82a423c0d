"""From the layouts of others to JSON lines (tools/convert_data.py)."""

from flmm.datasets.importers.coco import coco_items
from flmm.datasets.importers.labelme import labelme_items
from flmm.datasets.importers.lines import items_to_lines, to_json_lines

__all__ = ['coco_items', 'items_to_lines', 'labelme_items', 'to_json_lines']
