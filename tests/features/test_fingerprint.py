import pytest

from flmm.features.fingerprint import BLOCK, NUM_BLOCKS, fingerprint, large_weights


def test_names_sizes_and_contents_count_and_nothing_else(tmp_path):
    folders = [tmp_path / name for name in 'ab']
    for folder in folders:
        folder.mkdir()
        (folder / 'config.json').write_text('{}')
        (folder / 'model.safetensors').write_bytes(b'weights')
    assert fingerprint(str(folders[0])) == fingerprint(str(folders[1]))
    (folders[1] / 'README.md').write_text('not read')
    assert fingerprint(str(folders[0])) == fingerprint(str(folders[1]))
    (folders[1] / 'model.safetensors').write_bytes(b'Weights')
    assert fingerprint(str(folders[0])) != fingerprint(str(folders[1]))
    (folders[1] / 'model.safetensors').write_bytes(b'weights')
    (folders[1] / 'config.json').rename(folders[1] / 'other.json')
    assert fingerprint(str(folders[0])) != fingerprint(str(folders[1]))


def test_subfolders_count_but_hidden_ones_and_states_of_training(tmp_path):
    folder = tmp_path / 'folder'
    (folder / 'additional_chat_templates').mkdir(parents=True)
    (folder / 'config.json').write_text('{}')
    template = folder / 'additional_chat_templates' / 'short.jinja'
    template.write_text('a')
    found = fingerprint(folder)
    link = tmp_path / 'link'
    link.symlink_to(folder)
    assert fingerprint(link) == fingerprint(str(folder)) == found
    for ignored in ('.cache', 'checkpoint-100'):
        (folder / ignored).mkdir()
        (folder / ignored / 'config.json').write_text('{"other": 1}')
        assert fingerprint(folder) == found
    template.write_text('b')
    changed = fingerprint(folder)
    assert changed != found
    template.rename(folder / 'short.jinja')
    assert fingerprint(folder) not in (found, changed)


def test_a_file_may_be_moved_and_renamed(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text('{}')
    found = fingerprint(path)
    assert fingerprint(path.rename(tmp_path / 'b.json')) == found


@pytest.mark.parametrize('name', ['tokenizer.model', 'chat_template.jinja', 'pytorch_model.bin', 'merges.txt', 'x.pt'])
def test_all_that_a_checkpoint_is_read_from_counts(tmp_path, name):
    (tmp_path / 'config.json').write_text('{}')
    found = {fingerprint(tmp_path)}
    for content in ('a', 'b'):
        (tmp_path / name).write_text(content)
        found.add(fingerprint(tmp_path))
    assert len(found) == 3


def test_annotations_of_any_size_are_read_whole(tmp_path):
    path = tmp_path / 'instances.json'
    found = set()
    for place in (None, 0, BLOCK, 2 * NUM_BLOCKS * BLOCK, 3 * NUM_BLOCKS * BLOCK + 4):
        with path.open('wb') as stream:
            stream.truncate(3 * NUM_BLOCKS * BLOCK + 5)
            if place is not None:
                stream.seek(place)
                stream.write(b'x')
        found.add(fingerprint(path))
    assert len(found) == 5
    assert large_weights(path) == {}


def test_large_weights(tmp_path):
    for name, size in {'a.safetensors': 1, 'b.safetensors': 0, 'c.json': 1}.items():
        with (tmp_path / name).open('wb') as stream:
            stream.truncate(NUM_BLOCKS * BLOCK + size)
    assert large_weights(tmp_path) == {'a.safetensors': tmp_path / 'a.safetensors'}
    assert large_weights(tmp_path / 'a.safetensors') == {'': tmp_path / 'a.safetensors'}


def test_of_large_files_blocks_from_the_first_to_the_last_are_read(tmp_path):
    path = tmp_path / 'large.pth'
    size = 3 * NUM_BLOCKS * BLOCK + 5

    def with_byte(place):
        with path.open('wb') as stream:
            stream.truncate(size)
            stream.seek(place)
            stream.write(b'x')
        return fingerprint(str(path))

    with path.open('wb') as stream:
        stream.truncate(size)
    plain = fingerprint(str(path))
    assert with_byte(0) != plain
    assert with_byte(size - 1) != plain
    assert with_byte(BLOCK) == plain  # between blocks
    with path.open('wb') as stream:
        stream.truncate(size + 1)
    assert fingerprint(str(path)) != plain


def test_a_small_file_is_read_whole(tmp_path):
    path = tmp_path / 'small.json'
    path.write_bytes(bytes(3 * BLOCK + 7))
    found = {fingerprint(str(path))}
    for place in range(0, 3 * BLOCK + 7, BLOCK // 2):
        content = bytearray(3 * BLOCK + 7)
        content[place] = 1
        path.write_bytes(bytes(content))
        found.add(fingerprint(str(path)))
    assert len(found) == 1 + 7


def test_what_is_not_there_is_named():
    with pytest.raises(ValueError, match="'some/where/else' is neither a file, nor a folder, nor a downloaded"):
        fingerprint('some/where/else')
    with pytest.raises(ValueError, match="'nobody/nothing' is neither"):
        fingerprint('nobody/nothing')
