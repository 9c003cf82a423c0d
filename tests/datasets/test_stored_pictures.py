import pytest

from flmm.datasets.stored_pictures import check_pictures
from flmm.file_state import FileState


def test_the_first_pictures_are_named_and_all_are_counted(tmp_path):
    paths = [tmp_path / f'{number}.png' for number in range(6)]
    for path in paths:
        path.write_bytes(b'1')
    states = {str(path): FileState.read(str(path)) for path in paths}
    check_pictures(states, folder=tmp_path, content=True)
    paths[5].unlink()
    with pytest.raises(ValueError, match=r"^1 of 6 pictures .* cannot be compared: '[^,]*5.png' does not exist; check"):
        check_pictures(states, folder=tmp_path, content=False)
    for path in paths[:5]:
        path.write_bytes(b'22')
    with pytest.raises(
        ValueError, match=r"^5 of 6 pictures .*: '.*0.png' has 2 bytes, not 1, .*2.png' .* and 2 more; make"
    ):
        check_pictures(states, folder=tmp_path, content=False)
