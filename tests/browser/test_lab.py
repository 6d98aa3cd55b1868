"""Each notebook in JupyterLab, as a participant has it: it runs, its sliders move, its exercises answer.

A notebook is opened once, and a test looks at one side of it. It has the values of the ci profile, and
mostly one seed and small networks: it only has to come to its end. While it is looked at, the next
one runs.
"""

import re
from collections.abc import Iterator, Sequence

import pytest
from playwright.sync_api import Browser

from greenai_nb.lesson import project
from greenai_nb.suite.run import plan

from .conftest import UPDATES, Room
from .sheet import Sheet

WALK = plan.lessons(project.notebooks())
FIRST = next(iter(WALK))
STEPS = 3
CALL = re.compile(r"^exercise\(.*\b(\w+)\)$", re.MULTILINE)


class Tour:
    """The notebooks one after the other, each begun while its predecessor is looked at."""

    def __init__(self, room: Room, browser: Browser, names: Sequence[str], ahead: int) -> None:
        self.room, self.context, self.names, self.ahead = room, browser.new_context(), names, ahead
        self.begun: dict[str, Sheet] = {}

    def visit(self, name: str) -> Sheet:
        """A notebook that has been run from top to bottom; the next ones are begun first."""
        at = self.names.index(name)
        for each in self.names[at : at + 1 + self.ahead]:
            if each not in self.begun:
                self.begun[each] = Sheet(each, self.context.new_page())
                self.begun[each].open(self.room.address, self.room.token)
        self.begun[name].finish()
        return self.begun[name]


@pytest.fixture(scope="session")
def tour(room, browser, request) -> Tour:
    tests = [test for test in request.session.items if "sheet" in test.fixturenames]
    names = list(dict.fromkeys(test.callspec.params["sheet"] for test in tests))
    return Tour(room, browser, names, ahead=0 if request.config.getoption("alone", False) else 1)


@pytest.fixture(scope="module", params=list(WALK))
def sheet(tour, request) -> Iterator[Sheet]:
    """A notebook of the walk in its page, run from top to bottom."""
    opened = tour.visit(request.param)
    if folder := request.config.getoption("screenshots", None):
        opened.photograph(folder)
    yield opened
    opened.close()


def test_all_cells_run(sheet):
    assert sheet.errors() == [] and sheet.well


def test_each_slider_moves_the_picture_and_its_words(sheet, request):
    explorers = sheet.explorers()
    assert explorers, "no sliders"
    updates = request.config.stash.setdefault(UPDATES, {})
    for number, explorer in enumerate(explorers, 1):
        sliders = explorer.locator(".noUi-handle").all()
        assert len(sheet.words_beside(explorer)) == len(sliders) and sheet.cut_off(explorer) == []
        for slider in sliders:
            steps = [step for _ in range(STEPS) if (step := sheet.step(explorer, slider))]
            assert any(step.words for step in steps), (number, slider.get_attribute("aria-valuetext"))
            updates.setdefault((sheet.name, number), []).extend(step.milliseconds for step in steps)


def test_exercises_answer(sheet):
    solutions = (project.notebooks() / "solutions" / f"{sheet.name}.py").read_text()
    stubs = {at: stub for at, stub in enumerate(sheet.sources()) if CALL.search(stub)}
    assert stubs, "no exercises"
    for at, stub in stubs.items():
        call, name = CALL.search(stub).group(0, 1)
        wrong = f"def {name}(*given):\n    return 'no idea'\n\n\n{call}"
        assert sheet.answer(at, stub).startswith("not started")
        assert sheet.answer(at, wrong).startswith("wrong") and name in sheet.printed(at)
        assert sheet.answer(at, f"{solutions}\n\n{call}").startswith("right")


def test_nothing_is_complained_of_and_nobody_else_is_asked(sheet):
    assert sheet.complaints == [] and sheet.foreign == []


@pytest.mark.parametrize("sheet", [FIRST], indirect=True)
def test_a_slider_whose_kernel_was_restarted_says_so(sheet):
    explorer = sheet.explorers()[0]
    said = explorer.get_by_text("kernel was restarted").first
    assert not said.is_visible()
    sheet.restart()
    sheet.press(explorer.locator(".noUi-handle").first)
    said.wait_for(state="visible")
