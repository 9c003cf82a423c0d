import pytest
from tiny_refcoco import REPOSITORY, run_tool

CONFIG = REPOSITORY / 'configs' / 'qwen' / 'qwen2_5_vl_7b_sam_l_refcoco.py'


def test_a_row_for_each_number_of_tokens(capsys):
    run_tool('memory', CONFIG, '--tokens', '400', '4000', '--phrases', '3', '--num-gpus', '8')
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'phrases 3, batch_size 1, training True, num_gpus 8, lmm_gpus 1'
    assert lines[1] == '| tokens | lmm | sam | trained | kept | maps | working | all |'
    rows = [line.strip('|').split('|') for line in lines[3:5]]
    assert [row[0].strip() for row in rows] == ['400', '4,000']
    for row in rows:
        *parts, total = map(float, row[1:])
        assert sum(parts) == pytest.approx(total, abs=0.1)
        assert parts[0] == pytest.approx(16.58)  # 8.29e9 numbers in bfloat16
    assert 'lmm: the weights of the LMM' in lines


def test_a_tracker_is_left_out(capsys):
    run_tool('memory', CONFIG, '--tokens', '400', '--predict')
    plain = capsys.readouterr().out
    run_tool('memory', CONFIG, '--tokens', '400', '--predict', '--cfg-options', '+model.tracker.name_or_path=absent')
    said = 'model.tracker is left out: its SAM 2 comes on top, and so does what it remembers of a clip\n'
    assert capsys.readouterr().out == plain + said


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match='lmm_gpus is 2 beside 2 processes'):
        run_tool('memory', CONFIG, '--num-gpus', '2', '--lmm-gpus', '2')
