"""A damaged tar is an error, and never one of fewer rows."""

import struct
import tarfile

import pytest
from archives import rows, write_tar, write_tar_of_rows

from flmm.archive import tar_file


def read(file):
    return list(tar_file.read_rows(file, (0, 0, 0), file.parent))


def refused(file, message):
    with pytest.raises(ValueError, match=rf"a\.tar' cannot be read as a tar \(.*{message}"):
        read(file)


def header(name, kind, size, **given):
    """A header of this size in base 256, as GNU writes what eleven octal digits cannot say."""
    member = tarfile.TarInfo(name)
    member.type = kind
    member.size = 0
    for key, value in given.items():
        setattr(member, key, value)
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT)[-512:])
    block[124:136] = struct.pack('>iq', -1 if size < 0 else -(2**31), size)
    block[148:156] = b' ' * 8
    block[148:156] = b'%06o\0 ' % sum(block)
    return bytes(block)


@pytest.fixture
def whole(tmp_path):
    """A tar of six rows, and the byte where the fourth begins."""
    file = write_tar_of_rows(tmp_path / 'a.tar', 6)
    with tarfile.open(file) as archive:
        return file, archive.getmember('0003.png').offset


def test_a_whole_tar_is_read(whole):
    file, _ = whole
    assert [row.image_id for row in read(file)] == [image_id for image_id, _, _ in rows(6)]
    assert read(file)[5].image.read() == rows(6)[5][1]


def test_the_end_may_be_two_blocks_or_a_filled_record(tmp_path, whole):
    file, _ = whole
    with tarfile.open(file) as archive:
        end = sum(1 for _ in archive) and archive.offset
    for zeros in (1024, 1024 + 10240):
        file.write_bytes(file.read_bytes()[:end] + bytes(zeros))
        assert len(read(file)) == 6
    for zeros, message in (
        (0, 'it is cut off or damaged behind byte'), (512, 'it is cut off or damaged behind byte'),
        (1024 + 10241, f'behind byte {end} it has more zeros than a tar of blocking factor 20'),
    ):  # fmt: skip
        file.write_bytes(file.read_bytes()[:end] + bytes(zeros))
        refused(file, message)


def test_a_tar_behind_another_is_refused(tmp_path, whole):
    file, _ = whole
    other = write_tar_of_rows(tmp_path / 'b.tar', 1)
    file.write_bytes(file.read_bytes() + other.read_bytes())
    refused(file, 'or has another tar behind it')


def test_a_tar_whose_second_half_is_zeros_is_refused(whole):
    file, offset = whole
    content = file.read_bytes()
    file.write_bytes(content[:offset] + bytes(len(content) - offset))
    refused(file, rf'behind byte {offset} it has more zeros than a tar of blocking factor 20')
    file.write_bytes(bytes(10240))
    refused(file, 'it has no member')


HEADERS = [
    (header('x.png', b'0', -512), r"the header of 'x\.png' says that it has -512 bytes"),
    (header('x.png', b'0', -5), 'says that it has -5 bytes'),
    (header('x.png', b'0', 2**60), r"it is cut off in member 'x\.png', which goes to byte {end} of"),
    (header('x', tarfile.GNUTYPE_LONGNAME, 2**60), r'a header of 1152921504606846976 bytes, at most 65536 are read'),
    (header('x', tarfile.GNUTYPE_LONGLINK, 2**16 + 1), r'a header of 65537 bytes'),
    (header('x', tarfile.XHDTYPE, 2**60), r'a header of 1152921504606846976 bytes'),
    (header('x', tarfile.XGLTYPE, 2**60), r'a header of 1152921504606846976 bytes'),
    ((header('x', tarfile.GNUTYPE_LONGNAME, 1) + b'x'.ljust(512, b'\0')) * 2000, 'maximum recursion depth exceeded'),
]


@pytest.mark.parametrize('place', [0, 1])
@pytest.mark.parametrize(('block', 'message'), HEADERS)
def test_sizes_that_no_member_can_have(tmp_path, block, message, place):
    file = write_tar(tmp_path / 'a.tar', [('first.png', b'1')])
    content = file.read_bytes()
    file.write_bytes(content[: 1024 * place] + block + content[1024 * place :])
    refused(file, message.format(end=2**60 + 512 + 1024 * place))


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'size': '-512'}, 'has -512 bytes, which its place does not allow'),
        ({'size': str(2**60)}, r'it is cut off in member'),
        ({'GNU.sparse.map': '0,1', 'GNU.sparse.size': '4096'}, r"member 'x\.png' is sparse, which is not read"),
        ({'GNU.sparse.size': '4096'}, r"member 'x\.png' is sparse"),
        ({'GNU.sparse.map': 'x'}, 'invalid literal for int'),
    ],
)
def test_fields_of_pax_that_no_member_can_have(tmp_path, fields, message):
    with tarfile.open(tmp_path / 'a.tar', 'w', format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo('x.png')
        member.pax_headers = fields
        archive.addfile(member)
    refused(tmp_path / 'a.tar', message)


def test_a_size_of_pax_for_all_members_is_refused(tmp_path):
    with tarfile.open(tmp_path / 'a.tar', 'w', format=tarfile.PAX_FORMAT, pax_headers={'size': '2048'}) as archive:
        archive.addfile(tarfile.TarInfo('x.png'))
    refused(tmp_path / 'a.tar', r"member 'x\.png' has 2048 bytes, which its place does not allow")


def test_sparse_members_of_gnu_are_refused(tmp_path):
    block = bytearray(header('x.png', tarfile.GNUTYPE_SPARSE, 0))
    (tmp_path / 'a.tar').write_bytes(bytes(block) + bytes(10240 - 512))
    refused(tmp_path / 'a.tar', r"member 'x\.png' is sparse")


def test_the_longest_header_is_read(tmp_path):
    content = header('x', tarfile.XHDTYPE, tar_file.MAX_HEADER_BYTES) + b'a' * tar_file.MAX_HEADER_BYTES
    (tmp_path / 'a.tar').write_bytes(content + write_tar(tmp_path / 'b.tar', [('x.png', b'1')]).read_bytes())
    assert [row.image_id for row in read(tmp_path / 'a.tar')] == ['x']


def test_long_names_are_read(tmp_path):
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tmp_path / 'a.tar', 'w', format=form) as archive:
            archive.addfile(tarfile.TarInfo('é' * 150 + '.png'))
        assert [row.image_id for row in read(tmp_path / 'a.tar')] == ['é' * 150]
