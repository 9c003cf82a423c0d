"""The measurement of closer looks: its questions, its figures, and all of it at once, short."""

import json

import numpy as np
import pytest
from closer_look.conditions import conditions, random_box
from closer_look.conversations import QuestionConversations
from closer_look.questions import ORDINARY, PLAIN_SIDE, SIDE, SMALL, draw_scene
from closer_look.report import region_rows, way_rows, wilson_interval
from tiny_refcoco import REPOSITORY, run_tool


@pytest.mark.parametrize('config', [SMALL, ORDINARY], ids=['small', 'ordinary'])
def test_questions_have_one_answer(config):
    topics = set()
    for index in range(20):
        scene = draw_scene(np.random.default_rng(index), config)
        for question in scene.questions:
            shape = scene.scene.shapes[question.index]
            topics.add(question.topic)
            if question.topic == 'kind':
                assert (question.about, question.answer) == (f'the {shape.colour} shape', shape.kind)
                assert [other.colour for other in scene.scene.shapes].count(shape.colour) == 1
            else:
                assert (question.about, question.answer) == (f'the {shape.kind}', shape.colour)
                assert [other.kind for other in scene.scene.shapes].count(shape.kind) == 1
            assert question.about in question.text
    assert topics == {'kind', 'colour'}


def test_small_shapes_take_one_or_two_units_in_the_plain_reading():
    for index in range(20):
        scene = draw_scene(np.random.default_rng(index), SMALL).scene
        assert (scene.height, scene.width) == (SIDE, SIDE)
        assert all(0.5 <= shape.size * PLAIN_SIDE / SIDE / 28 <= 1.2 for shape in scene.shapes)


def test_conversations_are_of_all_sorts_and_depend_on_seed_and_index_alone():
    conversations, again = (QuestionConversations(seed=3, length=40) for _ in range(2))
    sorts = set()
    for index in range(40):
        found, other = conversations[index], again[index]
        assert found.messages == other.messages
        assert all(np.array_equal(a, b) for a, b in zip(found.images, other.images, strict=True))
        assert sum(part['type'] == 'image' for part in found.messages[0]['content']) == len(found.images)
        sorts.add((len(found.images), len(found.messages)))
    assert {number for number, _ in sorts} == {1, 2}
    assert max(turns for _, turns in sorts) == 8
    assert len({conversations[index].source for index in range(40)}) == 40  # a batch's reading is drawn by it


def test_a_random_region_is_as_large_and_lies_in_the_scene():
    rng = np.random.default_rng(0)
    boxes = [random_box((400, 10, 448, 90), rng) for _ in range(200)]
    assert all((right - left, bottom - top) == (48, 80) for left, top, right, bottom in boxes)
    assert min(box[0] for box in boxes) >= 0
    assert max(box[2] for box in boxes) <= SIDE
    assert len(set(boxes)) > 190


def test_the_interval_is_wilsons():
    low, high = wilson_interval(8, 10)
    assert (low, high) == pytest.approx((0.49016, 0.94331), abs=1e-4)  # Newcombe, 1998, method 3
    assert wilson_interval(0, 10)[0] == pytest.approx(0)


def test_figures_of_given_answers(tmp_path):
    def question(topic, answer, said, plain, covered):
        answers = {name: {'said': said, 'tokens': 10, 'seconds': 0.5, 'covered': covered} for name in conditions()}
        answers['plain'] |= {'said': plain, 'tokens': 64, 'seconds': 0.1}
        return {'topic': topic, 'about': 'it', 'answer': answer, 'said': answers}

    found = [
        question('kind', 'star', 'star', 'ring', 1.0),
        question('kind', 'star', 'star', 'star', 0.5),
        question('colour', 'red', 'blue', 'red', 0.0),
        question('colour', 'red', None, 'blue', 0.0),
    ]
    file = tmp_path / 'answers_0.json'
    file.write_text(json.dumps(found))
    rows = {row[0]: row[1:] for row in way_rows([file])}
    assert rows['plain, 224 px'] == ['64', '100', '50.0', '50.0', '50.0', '15.0 to 85.0', '0.0', '0.0']
    assert rows['crop, true region'] == ['10', '500', '100.0', '0.0', '50.0', '15.0 to 85.0', '25.0', '25.0']
    assert region_rows([file])[1] == ['true region', '25.0', '50.0', '100.0', '33.3']


def test_the_whole_of_it_short(tmp_path, monkeypatch, capsys):
    """And once more, from what is there."""
    monkeypatch.chdir(REPOSITORY)
    options = ['--shorten', '100', '--scenes', '300', '--finetunings', '0', '--scene-seeds', '0']
    command = ['research/visual_chain_of_thought', *options, '--work-dir', tmp_path]
    run_tool(*command)
    file = tmp_path / 'finetuning_0' / 'answers_0.json'
    found = json.loads(file.read_text())
    assert len(found) == 3
    assert all(set(each['said']) == set(conditions()) for each in found)
    assert all(each['said']['plain']['tokens'] == 64 for each in found)
    assert all(each['said']['plain_448']['tokens'] == 256 for each in found)
    assert all(62 <= each['said']['layout_true']['tokens'] <= 64 for each in found)
    assert all(each['said']['image_and_crop_true']['covered'] == 1 for each in found)
    tables = (tmp_path / 'tables.md').read_text()
    assert tables in capsys.readouterr().out
    changed = file.stat().st_mtime_ns
    run_tool(*command)
    assert tables in capsys.readouterr().out
    assert file.stat().st_mtime_ns == changed
