from graph import lines
from tools import first_harvest

ROWS = [{'plant': 'Carrot', 'from': 'April', 'to': 'July', 'depth_cm': '1'}]


def test_the_shelf_has_lines_for_the_plants_of_a_question():
    assert lines(ROWS, 'how deep do carrots go?') == 'Carrot: sow from April to July, 1 cm deep'
    assert lines(ROWS, 'when do I sow kale?') == ''


def test_the_first_harvest():
    assert first_harvest.invoke({'sown': '2026-04-01', 'weeks': 10}) == '2026-06-10'
