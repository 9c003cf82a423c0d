"""Files that people, or what attacks a page, may upload: broken ones, strange ones, and some that only look so."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image


def picture(width: int = 120, height: int = 90, mode: str = 'RGB') -> Image.Image:
    """A picture with something in it."""
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def written(image: Image.Image, kind: str, **settings: object) -> bytes:
    """The bytes of a file of that format."""
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def png_header(width: int, height: int, *, depth: int = 8, kind: int = 2, packed: bytes | None = None) -> bytes:
    """A PNG that says it has this size, with whatever data, none by default."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack('>I', len(content)) + name + content + struct.pack('>I', zlib.crc32(name + content))

    header = chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, depth, kind, 0, 0, 0))
    return (
        b'\x89PNG\r\n\x1a\n'
        + header
        + chunk(b'IDAT', zlib.compress(b'') if packed is None else packed)
        + chunk(b'IEND', b'')
    )


def bad_uploads(*, max_upload_mb: int) -> Iterator[tuple[str, bytes, bool]]:
    """Yield names, contents, and whether the page is to read them: it says what is wrong with the others."""
    rgb = picture()
    png, jpeg = written(rgb, 'PNG'), written(rgb, 'JPEG')
    webp, bmp, tiff, gif = (written(rgb, kind) for kind in ('WEBP', 'BMP', 'TIFF', 'GIF'))
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    html = b'<!doctype html><script>document.title="taken"</script>'

    # nothing, or no image
    yield 'empty.png', b'', False
    yield 'one_byte.jpg', b'\xff', False
    yield 'zeros.png', bytes(5000), False
    yield 'noise.jpg', np.random.default_rng(1).bytes(5000), False
    yield 'text.png', b'this is no image', False
    yield 'page.html', html, False
    yield 'page.png', html, False
    yield 'drawing.svg', svg, False
    yield 'drawing.png', svg, False
    yield 'paper.pdf', b'%PDF-1.7\n1 0 obj<<>>endobj\n%%EOF', False
    yield 'script.eps', b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 90 90\nshowpage\n', False
    yield 'script.png', b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 90 90\nshowpage\n', False
    yield 'archive.zip', b'PK\x03\x04' + bytes(100), False
    yield 'icon.ico', written(rgb, 'ICO', sizes=[(32, 32)]), False
    yield 'picture.ppm', written(rgb, 'PPM'), False
    yield 'film.mp4', b'\x00\x00\x00\x18ftypmp42' + bytes(100), False

    # cut off, or with wrong bytes in them
    for name, content in (('jpg', jpeg), ('png', png), ('webp', webp), ('bmp', bmp), ('tif', tiff)):
        yield f'half.{name}', content[: len(content) // 2], False
    yield 'header.png', png[:40], False
    yield 'header.jpg', jpeg[:30], False
    yield 'header.gif', gif[:11], False
    yield 'flipped.png', png[:60] + bytes(byte ^ 0xFF for byte in png[60:120]) + png[120:], False
    yield 'no_data.png', png_header(64, 64), False
    yield 'no_width.png', png_header(0, 64), False

    # large
    yield 'bomb.png', png_header(40_000, 40_000), False
    yield 'bomb_thin.png', png_header(2_000_000_000, 1), False
    yield 'bomb.gif', b'GIF89a' + struct.pack('<HH', 60_000, 60_000) + gif[10:], False
    yield 'bomb.bmp', bmp[:18] + struct.pack('<ii', 40_000, 40_000) + bmp[26:], False
    yield 'many_pixels.png', written(Image.new('1', (6000, 6000)), 'PNG'), False
    yield 'many_bytes.png', png + bytes(max_upload_mb * 2**20), False
    yield 'long_line.png', written(Image.new('RGB', (9000, 2)), 'PNG'), False

    # names
    yield '../../../../tmp/climbed.png', png, True
    yield '..\\..\\climbed.png', png, True
    yield '/etc/climbed.png', png, True
    yield '<img src=x onerror=alert(1)>.png', b'nothing', False
    yield f'{"long" * 40}.png', png, True
    yield 'päivä \u202egnp.exe', png, True
    yield '.png', png, True
    yield 'no_suffix', jpeg, True

    # strange, and read all the same
    yield 'wrong_suffix.png', jpeg, True
    yield 'wrong_suffix.txt', png, True
    yield 'animated.gif', written(rgb, 'GIF', save_all=True, append_images=[picture(mode='L')] * 3), True
    yield 'cmyk.jpg', written(picture(mode='CMYK'), 'JPEG'), True
    yield 'grey_alpha.png', written(picture(mode='LA'), 'PNG'), True
    yield 'palette.png', written(picture(mode='P'), 'PNG'), True
    yield '16_bit.png', written(Image.fromarray(np.full((60, 80), 40_000, dtype=np.uint16)), 'PNG'), True
    yield 'one_bit.tif', written(picture(mode='1'), 'TIFF'), True
    yield 'one_pixel.png', written(picture(1, 1), 'PNG'), True
    yield 'turned.jpg', written(rgb, 'JPEG', exif=b'Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00'), True  # fmt: skip # noqa: E501
    yield 'broken_exif.jpg', written(rgb, 'JPEG', exif=b'Exif\x00\x00MM\x00*\xff\xff\xff\xff'), True
    yield 'float.tif', written(Image.fromarray(np.ones((40, 40), dtype=np.float32)), 'TIFF'), False
