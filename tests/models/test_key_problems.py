import torch

from flmm.models.key_problems import key_problems

EXPECTED = {'a': torch.zeros(2, 3), 'b': torch.zeros(1), 'c': torch.zeros(())}


def test_keys_and_shapes_that_fit():
    assert key_problems(EXPECTED, {name: tensor + 1 for name, tensor in EXPECTED.items()}) == ''
    assert key_problems({}, {}) == ''


def test_each_kind_of_problem_is_counted_and_named_in_order():
    found = {'z': torch.zeros(1), 'y': torch.zeros(1), 'a': torch.zeros(3, 2), 'c': torch.zeros(1)}
    assert key_problems(EXPECTED, found) == (
        '1 missing: b; 2 unexpected: y, z; 2 of another shape: a has (3, 2), the model (2, 3), c has (1,), the model ()'
    )


def test_five_keys_are_named():
    many = {f'{number}': torch.zeros(1) for number in range(7)}
    assert key_problems(many, {}) == '7 missing: 0, 1, 2, 3, 4, ...'
    assert key_problems({}, {name: many[name] for name in '01234'}) == '5 unexpected: 0, 1, 2, 3, 4'


def test_other_kinds_of_numbers_are_named_and_other_precisions_fit():
    found = {'a': torch.zeros(2, 3, dtype=torch.int64), 'b': torch.zeros(1, dtype=torch.complex64), 'c': EXPECTED['c']}
    assert key_problems(EXPECTED, found) == (
        '2 of another kind of number: a has torch.int64, the model torch.float32, '
        'b has torch.complex64, the model torch.float32'
    )
    assert key_problems(EXPECTED, {name: tensor.half() for name, tensor in EXPECTED.items()}) == ''
    assert key_problems({'n': torch.tensor(1)}, {'n': torch.tensor(1.0)}) == (
        '1 of another kind of number: n has torch.float32, the model torch.int64'
    )
