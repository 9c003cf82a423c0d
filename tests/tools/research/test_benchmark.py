"""The benchmarks: what each writes and prints, at sizes that take no time; times are only positive."""

import json
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tiny_families
import torch
from benchmarks import one_by_one, questions, reference
from benchmarks.images import benchmark_image
from benchmarks.importance import one_hot_entropy, oracle_entropy
from benchmarks.measure import in_new_process, kept_memory, memory_now, most_memory, peak_memory, time_in_turn
from benchmarks.presets import build_grounder, build_image_processor
from benchmarks.samples import SampleMaker, num_image_tokens
from benchmarks.stages import StageTimer
from benchmarks.training import vision_towers, watched
from full_sizes import lmms
from PIL import Image

from flmm.apt import compute_importance_maps
from flmm.families import FAMILIES

CPU, META = torch.device('cpu'), torch.device('meta')
WAYS = 15  # dense; six selections for each of two measures of importance; two budgets of tokens of up to 2x2 units


@pytest.fixture
def run(monkeypatch, tmp_path):
    import benchmark

    def run(name, *arguments):
        monkeypatch.setattr(sys, 'argv', ['benchmark.py', name, '--work-dir', str(tmp_path), *arguments])
        benchmark.main()
        return json.loads((tmp_path / f'{name}.json').read_text())

    return run


def test_importance(run, capsys):
    document = run('importance', '--size', '112x84', '--repeats', '2')

    assert document['benchmark'] == 'importance'
    assert document['settings'] == {'image': None, 'device': 'cpu', 'repeats': 2, 'size': [112, 84]}
    assert document['environment']['torch'] == torch.__version__
    results = document['results']
    assert list(results['entropy']) == ['flmm.apt', 'one-hot']
    for result in results['entropy'].values():
        assert len(result['seconds']) == 2
        assert 0 < min(result['seconds']) <= result['median_s']
        assert 0 < result['max_difference_bits'] < 1e-5
    # 48 patches of 196 px, 512 bins of 8 bytes: the one-hot rows of all pixels of the image at a time
    assert (
        results['entropy']['one-hot']['peak_bytes'] > 48 * 196 * 512 * 8 > results['entropy']['flmm.apt']['peak_bytes']
    )
    assert results['faster'] > 0
    assert results['smaller'] > 1
    assert [(row['name'], row['blur']) for row in results['measures']] == [
        (name, blur)
        for name in ('entropy', 'laplacian mean', 'laplacian max', 'laplacian std', 'upsample_mse')
        for blur in (1, 5)
    ]
    assert all(row['median_s'] > 0 and row['peak_bytes'] > 0 for row in results['measures'])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 3 + 10
    assert lines[0].split() == ['importance', 'ms', 'peak', 'MiB', 'max', 'difference']


def test_pruning(run, capsys, tmp_path):
    Image.effect_noise((200, 150), 60).convert('RGB').save(tmp_path / 'photo.png')
    arguments = ('--preset', 'demo', '--sizes', '112x140', '56x84', '--repeats', '1')
    document = run('pruning', *arguments, '--image', str(tmp_path / 'photo.png'))

    assert document['settings']['sizes'] == [[112, 140], [56, 84]]
    assert list(document['results']) == ['112x140', '56x84']
    case = document['results']['112x140']
    assert len(case) == WAYS
    for name, result in case.items():
        stages = sum(result[f'{stage}_median_s'] for stage in ('processing', 'frozen'))
        assert result['total_median_s'] == pytest.approx(stages)  # one round
        assert result['speed_up'] == pytest.approx(case['dense']['total_median_s'] / result['total_median_s'])
        assert 0 < result['tokens'] <= 20
        assert result['kept_fraction'] == result['tokens'] / 20, name
    assert case['dense']['tokens'] == 20
    # of 20 tokens 10 may stay; the fewest are 5 and each split adds 3
    assert case['budget 0.5, entropy']['tokens'] == 8
    assert case['budget 0.5, laplacian, blur 5']['settings'] == {
        'patch_selection_method': 'budget', 'alpha': 0.5, 'method': 'laplacian', 'blur': 5,
    }  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 2 * WAYS
    assert lines[1].split()[:4] == ['112x140', 'dense', '20', '100.0']


def test_frozen(run, capsys):
    document = run('frozen', '--preset', 'demo', '--sizes', '112x140', '224x168', '--repeats', '2', '--batch-size', '2')

    assert list(document['results']) == ['112x140', '224x168']
    for case, num_tokens in zip(document['results'].values(), (20, 48), strict=True):
        assert case['image_tokens'] == num_tokens
        assert list(case['ways']) == [
            'stock forward', 'reference', 'flmm', 'flmm, half of the layers', 'flmm, batch of 2',
        ]  # fmt: skip
        for result in case['ways'].values():
            assert len(result['seconds']) == 2
            assert 0 < min(result['seconds']) <= result['median_s']
    small, large = (
        {way: result['peak_bytes'] for way, result in case['ways'].items()} for case in document['results'].values()
    )
    assert large['flmm'] < large['reference']
    # All attention weights are kept, of 4 layers with 6 heads each; the sequence is longer than the image.
    assert large['reference'] > 4 * 6 * 48**2 * 4
    assert large['flmm'] / small['flmm'] < large['reference'] / small['reference']
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 2 * 5
    assert lines[1].split(maxsplit=4)[:4] == ['112x140,', '20,', 'stock', 'forward']


def test_training(run, capsys):
    arguments = ('--preset', 'demo', '--sizes', '112x140', '--num-phrases', '1', '2', '--repeats', '1')
    document = run('training', *arguments, '--batch-size', '2')

    assert list(document['results']) == ['112x140, 1 phrases', '112x140, 2 phrases']
    case = document['results']['112x140, 2 phrases']
    trained = {'mask head', 'SAM decoder', 'losses', 'backward', 'other'}
    frozen = {'vision tower', 'LLM', 'SAM encoder', 'image processing'}
    assert set(case.pop('reference')['stages']) == trained | frozen
    assert set(case.pop('stock forward')['stages']) == {'image processing', 'vision tower', 'LLM'}
    for way, result in case.items():
        assert min(result['stages'].values()) > 0, way
        expected = trained | ({'reading'} if 'stored' in way else {*frozen, 'capture'})
        assert set(result['stages']) == expected, way
        assert result['median_s'] == pytest.approx(sum(result['stages'].values()))
        assert result['peak_bytes'] > 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 2 * 8


def test_the_stages_see_both_passes_through_the_lmm():
    model = build_grounder('demo', device=CPU, whole=True)
    image = benchmark_image(None, size=(168, 140))
    sample = SampleMaker(image, num_phrases=2, image_processor=build_image_processor('demo', image))()
    timer = StageTimer(CPU)
    with watched(model, timer), mock.patch.object(timer, '_running', entered := EnteredStages()):
        sum(model([sample], mode='loss').values())
        model([sample], mode='predict')
    once = {'vision tower': 1, 'LLM': 2, 'capture': 4, 'SAM encoder': 1, 'mask head': 1, 'SAM decoder': 1}
    # image and prompt, then the texts; attention is captured in each of 4 layers
    assert entered.counts == {stage: 2 * count for stage, count in once.items()} | {'losses': 1}
    assert entered == []


class EnteredStages(list):
    """A list of running stages that counts how often each was entered."""

    def __init__(self):
        super().__init__()
        self.counts = {}

    def append(self, stage):
        self.counts[stage] = self.counts.get(stage, 0) + 1
        super().append(stage)


def test_questions(run, capsys, monkeypatch):
    monkeypatch.setattr(questions, 'in_new_process', lambda call, *args: call(*args))  # what is patched is not there
    monkeypatch.setattr(questions, 'PHOTOGRAPH', (280, 224))
    monkeypatch.setattr(questions, 'PHOTOGRAPH_PHRASES', 3)
    monkeypatch.setattr(questions, 'BATCH_IMAGE', (112, 84))
    monkeypatch.setattr(questions, 'BATCH_SENTENCES', 13)
    document = run('questions', '--preset', 'demo', '--sizes', '112x140', '--num-phrases', '1', '9', '--repeats', '2')

    results = document['results']
    (case,) = results['sizes'].values()
    assert case['image_tokens'] == 20
    assert list(case['phrases']) == ['1', '9']
    for found, rounds in zip(case['phrases'].values(), (2, 1), strict=True):
        ratios = [apart / once for apart, once in zip(found['one_by_one_s'], found['read_once_s'], strict=True)]
        assert found['times_faster'] == ratios
        assert len(ratios) == rounds
        assert min(*found['one_by_one_s'], *found['read_once_s']) > 0
    pair = case['one_more_s'], case['reading_s']
    assert case['one_more_share'] == [more / read for more, read in zip(*pair, strict=True)]
    # key and value in float32, 144 wide in 4 layers
    prefix = case['prefix']
    assert prefix['formula_bytes'] == 2 * 4 * 144 * 4 * prefix['tokens']
    assert prefix['tokens'] > 20
    assert prefix['measured_bytes'] == pytest.approx(prefix['formula_bytes'], abs=1000)
    assert list(results['photograph']['stages']) == ['read', 'ground', 'to_rle', 'masks']
    assert (results['photograph']['image'], results['photograph']['phrases']) == ('280x224', 3)
    assert (results['batch']['image'], results['batch']['phrases']) == ('112x84', 13)
    for measured in (*results['photograph']['stages'].values(), *results['batch']['stages'].values()):
        assert measured['seconds'] > 0
        assert measured['peak_bytes'] > 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 2 + 2 + 4 + 1
    assert lines[2].startswith('112x140, 9 phrases, read once')


def test_the_reference_computes_what_flmm_does():
    model = build_grounder('demo', device=CPU, whole=True)
    image = benchmark_image(None, size=(168, 140))
    image_processor = build_image_processor('demo', image)
    sample = SampleMaker(image, num_phrases=3, image_processor=image_processor, independent=False)()
    (features,) = model.encode([sample])

    maps, states = reference.read_phrases(model, sample)
    embedding = reference.embed(model, reference.stock_encoder(model), sample)

    torch.testing.assert_close(torch.stack(maps), features.attentions, rtol=0, atol=1e-5)
    torch.testing.assert_close(states, features.hidden_states, rtol=0, atol=1e-3)
    torch.testing.assert_close(embedding, features.image_embedding, rtol=0, atol=1e-4)
    found = reference.losses(model, sample, maps, states, embedding)
    torch.testing.assert_close(found, sum(model([sample], mode='loss').values()), rtol=1e-4, atol=0)
    (again,) = model.encode([sample])  # the reference leaves the model as it was
    assert torch.equal(again.attentions, features.attentions)


def test_stages_count_their_own_time():
    timer = StageTimer(CPU)
    clock = [0.0, 1.0, 3.0, 6.0, 10.0, 15.0]
    with mock.patch('benchmarks.stages.time.perf_counter', side_effect=clock):
        with timer('outer'):  # 0 to 1, 3 to 6, 10 to 15
            with timer('inner'):  # 1 to 3
                pass
            timer.watched(lambda: None, 'inner')()  # 6 to 10
        with timer.watching(torch.nn.Identity(), 'never'):
            pass
    assert timer.seconds == {'outer': 1 + 3 + 5, 'inner': 2 + 4}


def test_the_formulations_of_entropy_agree():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 75, 3), dtype=np.uint8)
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    ours, plain, truth = compute_importance_maps(images), one_hot_entropy(images), oracle_entropy(pixels)

    assert {size: expected.shape for size, expected in truth.items()} == {14: (4, 5), 28: (2, 2), 56: (1, 1)}
    for size, expected in truth.items():
        rows, columns = expected.shape
        np.testing.assert_allclose(plain[size][0], expected, atol=1e-5)
        np.testing.assert_allclose(ours[size][0, :rows, :columns], expected, atol=1e-5)


def test_rounds_alternate_and_the_first_does_not_count():
    calls = []

    def stage(name):
        return lambda given: calls.append((name, given)) or name

    ways = {'a': {'first': stage('a1'), 'second': stage('a2')}, 'b': {'only': stage('b')}}
    seconds = time_in_turn(ways, repeats=2, device=CPU)

    there, back = [('a1', None), ('a2', 'a1'), ('b', None)], [('b', None), ('a1', None), ('a2', 'a1')]
    assert calls == there + back + there
    assert {way: {name: len(times) for name, times in seconds[way].items()} for way in seconds} == {
        'a': {'first': 2, 'second': 2},
        'b': {'only': 2},
    }
    calls.clear()
    time_in_turn(ways, repeats=1, device=CPU, warm_up=False)
    assert calls == back


def test_peak_memory_is_that_of_the_moment_with_most():
    def call():
        for _ in range(3):  # one after the other, not together
            torch.ones(1000, dtype=torch.float64)
        return torch.ones(1500, dtype=torch.float64) + 1  # two of them at a time

    assert peak_memory(call, device=CPU) == pytest.approx(2 * 1500 * 8, abs=200)


def test_kept_memory_is_that_of_what_is_returned():
    def call():
        torch.ones(10_000, dtype=torch.float64)
        return torch.ones(1500, dtype=torch.float64) + 1

    assert kept_memory(call, device=CPU) == pytest.approx(1500 * 8, abs=200)


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='Linux counts it')
def test_the_memory_of_a_process_is_its_own():
    before = memory_now(CPU)
    held = np.ones(600_000_000, dtype=np.uint8)
    assert memory_now(CPU) - before == pytest.approx(len(held), rel=0.1)
    there = in_new_process(most_memory, CPU)
    del held
    assert 50e6 < there < most_memory(CPU) - 400e6  # what was held here does not count there
    assert most_memory(CPU) >= memory_now(CPU) + 400e6


def test_the_scene_is_drawn_at_the_size_asked_for():
    image = benchmark_image(None, size=(140, 112))
    assert image.size == (140, 112)
    assert image == benchmark_image(None, size=(140, 112))


def test_a_published_size_builds_without_memory():
    grounder = build_grounder('3b', device=META)
    assert grounder.lmm.dtype == torch.bfloat16
    assert (grounder.num_layers, grounder.hidden_size) == (36, 2048)
    other = build_grounder('llava_1_6_mistral_7b', device=META)
    assert type(other).__name__ == 'FrozenLlavaNextSAM'
    assert (other.num_layers, other.hidden_size) == (32, 4096)


def test_a_published_lmm_of_another_family(run, monkeypatch):
    whole = lmms.published_config  # of one layer and few words, which a CPU runs
    monkeypatch.setattr(
        lmms, 'published_config', lambda name, **kwargs: whole(name, **kwargs | {'depth': 1, 'vocab_size': 300})
    )
    image = benchmark_image(None, size=(112, 140))
    image_processor = build_image_processor('deepseek_vl_1_3b', image)
    sample = SampleMaker(image, num_phrases=2, image_processor=image_processor)()
    assert num_image_tokens(sample) == 576
    (maps,), _ = build_grounder('deepseek_vl_1_3b', device=CPU).run_lmm([sample])
    assert maps.shape == (2, 16, 24, 24)
    towers = vision_towers(build_grounder('deepseek_vl_7b', device=META).lmm)
    assert [tower.config.model_type for tower in towers] == ['siglip_vision_model', 'sam_vision_model']
    with pytest.raises(ValueError, match="preset 'deepseek_vl_1_3b': its image processor does not prune; take one of"):
        run('pruning', '--preset', 'deepseek_vl_1_3b')


@pytest.mark.parametrize('model_type', FAMILIES)
def test_the_reference_reads_what_flmm_reads_of_every_family(model_type):
    model = tiny_families.build_grounder(model_type)
    wrapper = tiny_families.build_wrapper(model_type)
    sample = tiny_families.make_sample(wrapper, ['a', 'some blue circle'], independent=False)
    ((found,), (states,)) = model.run_lmm([sample])
    maps, expected = reference.read_phrases(model, sample)
    torch.testing.assert_close(torch.stack(maps), found, rtol=0, atol=1e-5)
    torch.testing.assert_close(expected, states, rtol=1e-5, atol=1e-4)
    assert reference.stock_forward(model, sample).shape == (1, len(sample.input_ids), model.hidden_size)


@pytest.mark.parametrize('model_type', FAMILIES)
def test_phrases_one_by_one_are_what_flmm_reads_at_once(model_type, monkeypatch):
    model = tiny_families.build_grounder(model_type)
    wrapper = tiny_families.build_wrapper(model_type)
    sample = tiny_families.make_sample(wrapper, ['a', 'some blue circle', 'red'])
    ((found,), (states,)) = model.run_lmm([sample])
    monkeypatch.setattr(one_by_one, 'MAX_FORWARD_TOKENS', 2 * (len(sample.input_ids) + 1))  # two forwards
    maps, expected = one_by_one.read_one_by_one(model, sample)
    torch.testing.assert_close(torch.stack(maps), found, rtol=0, atol=1e-5)
    torch.testing.assert_close(expected, states, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['importance', '--size', '112'], "'112' is no size such as 1176x812"),
        (['importance', '--repeats', '0'], '--repeats must be at least 1'),
        (['pruning', '--preset', '72b'], "invalid choice: '72b'"),
        ([], 'the following arguments are required: benchmark'),
    ],
)
def test_refuses(arguments, message, monkeypatch, capsys):
    import benchmark

    monkeypatch.setattr(sys, 'argv', ['benchmark.py', *arguments])
    with pytest.raises(SystemExit):
        benchmark.main()
    assert message in capsys.readouterr().err
