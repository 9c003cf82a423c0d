"""Serve the web page: drop an image, write phrases, see their masks, attention and patches.

python tools/serve.py                                     # the demo's model, on shapes
python tools/serve.py --model FOLDER --device cuda        # a model that Grounder.save_pretrained wrote

docs/page.md says what it shows, and how to put it behind a proxy. Needs the extra web.
"""

import argparse
import signal
import sys
import threading
from pathlib import Path

from flmm.grounder import Grounder, demo_folder
from flmm.web.examples import examples
from flmm.web.limits import Limits
from flmm.web.page import Page

LIMITS = ('max_upload_mb', 'max_pixels', 'queue_size', 'visitors')
DEMO_NOTE = (
    'The demo was trained on drawn shapes and knows nothing else. Photographs need a head trained on a published LMM.'
)
OTHER_NOTE = 'The drawn scenes are for a first look; this model may have been trained on other pictures.'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', help='a folder or hub name that Grounder.from_pretrained reads')
    parser.add_argument('--config', help='or a config (default: the demo)')
    parser.add_argument('--checkpoint', help='and its trained part')
    parser.add_argument('--device', default='cpu', help='(default: %(default)s)')
    parser.add_argument('--host', default='127.0.0.1', help='0.0.0.0 for all of this machine (default: %(default)s)')
    parser.add_argument('--port', type=int, default=7860, help='0 takes one that is free (default: %(default)s)')
    for name in LIMITS:
        option = '--' + name.replace('_', '-')
        parser.add_argument(option, type=int, default=getattr(Limits, name), help='(default: %(default)s)')
    args = parser.parse_args()
    if args.model and (args.config or args.checkpoint):
        parser.error('--model and --config are two ways to name one model; give one')
    if args.checkpoint and not args.config:
        parser.error('--checkpoint is the trained part of a --config; give that too')
    return args


def load(args: argparse.Namespace) -> tuple[Grounder, str, str]:
    """Load the model; its name and a note about it for the page."""
    if args.model:
        return Grounder.from_pretrained(args.model, device=args.device), Path(args.model).name, OTHER_NOTE
    if args.config:
        grounder = Grounder.from_config(args.config, checkpoint=args.checkpoint, device=args.device)
        return grounder, Path(args.config).stem, OTHER_NOTE
    return Grounder.from_pretrained(demo_folder(), device=args.device), 'demo model', DEMO_NOTE


def main() -> None:
    args = parse_args()
    limits = Limits(**{name: getattr(args, name) for name in LIMITS})
    # Here, since --help and a wrong option should not wait for gradio.
    from flmm.web.server import served

    ended = threading.Event()
    for asked in (signal.SIGINT, signal.SIGTERM):  # uploads are deleted on the way out
        signal.signal(asked, lambda *_: ended.set())
    grounder, name, note = load(args)
    page = Page(grounder=grounder, limits=limits)
    try:
        with served(page, model=name, note=note, examples=examples(), host=args.host, port=args.port) as address:
            print(f'{name} on {address} (Ctrl+C ends it)', flush=True)
            ended.wait()
    except OSError as error:
        sys.exit(f'the page cannot listen on {args.host}:{args.port} ({error}); give another --port or --host')


if __name__ == '__main__':
    main()
