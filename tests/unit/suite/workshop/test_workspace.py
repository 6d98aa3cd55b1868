"""A participant's copy of the walk: what an update renews, keeps, lays aside, and never touches."""

import json
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from greenai_nb.checks import UsageError
from greenai_nb.files import write_atomic
from greenai_nb.lesson import project
from greenai_nb.suite import cli
from greenai_nb.suite.workshop import workspace
from greenai_nb.suite.workshop.workspace import ASIDE, KEPT, LEFT, LIST, NEW, RENEWED

FIRST, SECOND = "notebooks/01_works.ipynb", "notebooks/02_may_fail.ipynb"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "mine"


def kinds(changes):
    return {change.name: change.kind for change in changes}


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_new_workspace_holds_the_walk_byte_for_byte_and_a_second_call_has_nothing_to_say(
    small_project, folder
):
    changes = workspace.update(small_project, folder)
    assert set(kinds(changes).values()) == {NEW}
    laid = files(folder)
    known = laid.pop(LIST)
    assert {FIRST, SECOND, "claims.yaml", "requirements.lock", "notebooks/profiles/ci.yaml"} <= set(laid)
    assert laid == {name: (small_project / name).read_bytes() for name in laid}
    assert set(json.loads(known)["files"]) == set(laid)
    assert workspace.update(small_project, folder) == [] and files(folder) == laid | {LIST: known}


def test_what_nobody_edited_is_renewed_and_what_was_edited_stays(small_project, folder):
    workspace.update(small_project, folder)
    (folder / SECOND).write_text("mine")
    assert kinds(workspace.update(small_project, folder)) == {SECOND: KEPT}
    for name in (FIRST, SECOND):
        (small_project / name).write_text("newer")
    changes = workspace.update(small_project, folder)
    assert kinds(changes) == {FIRST: RENEWED, SECOND: ASIDE}
    assert (folder / FIRST).read_text() == "newer" and (folder / SECOND).read_text() == "mine"
    assert (folder / "new" / SECOND).read_text() == "newer"
    assert all(change.name in change.sentence for change in changes)
    assert f"new version is new/{SECOND}" in changes[1].sentence
    assert kinds(workspace.update(small_project, folder)) == {SECOND: KEPT}, "said and laid once"


def test_a_version_laid_aside_is_renewed_too_unless_that_was_edited(small_project, folder):
    workspace.update(small_project, folder)
    (folder / FIRST).write_text("mine")
    for text, edited in (("second", False), ("third", True), ("fourth", False)):
        (small_project / FIRST).write_text(text)
        assert kinds(workspace.update(small_project, folder)) == {FIRST: ASIDE}
        if edited:
            (folder / "new" / FIRST).write_text("mine as well")
    assert (folder / FIRST).read_text() == "mine"
    assert (folder / "new" / FIRST).read_text() == "mine as well"
    assert (folder / "new" / "new" / FIRST).read_text() == "fourth"


def test_a_deleted_file_comes_back_and_one_that_left_the_walk_stays(small_project, folder):
    workspace.update(small_project, folder)
    (folder / FIRST).unlink()
    (small_project / SECOND).unlink()
    assert kinds(workspace.update(small_project, folder)) == {FIRST: NEW, SECOND: LEFT}
    assert (folder / SECOND).is_file() and workspace.update(small_project, folder) == []


def test_files_of_a_participants_own_are_never_touched(small_project, folder):
    workspace.update(small_project, folder)
    own = folder / "notebooks" / "03_mine.ipynb"
    own.write_text("mine")
    (small_project / "notebooks" / "03_mine.ipynb").write_text("a later lesson of the same name")
    assert kinds(workspace.update(small_project, folder)) == {"notebooks/03_mine.ipynb": ASIDE}
    assert own.read_text() == "mine"


def test_an_interrupted_copy_goes_on(small_project, folder, monkeypatch):
    def interrupted(path, content):
        if path.name == Path(SECOND).name:
            raise KeyboardInterrupt
        write_atomic(path, content)

    monkeypatch.setattr(workspace, "write_atomic", interrupted)
    with pytest.raises(KeyboardInterrupt):
        workspace.update(small_project, folder)
    monkeypatch.undo()
    assert (folder / FIRST).is_file() and not (folder / SECOND).exists()
    (small_project / FIRST).write_text("newer")
    assert kinds(workspace.update(small_project, folder))[FIRST] == RENEWED
    assert (folder / SECOND).read_bytes() == (small_project / SECOND).read_bytes()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_half(small_project, folder, monkeypatch):
    workspace.update(small_project, folder)
    before = files(folder)
    (small_project / FIRST).write_text("newer")

    def full(_path, _content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UsageError, match="No space left on device"):
        workspace.update(small_project, folder)
    monkeypatch.undo()
    after = files(folder)
    assert set(after) == set(before) and after[FIRST] == before[FIRST]
    assert kinds(workspace.update(small_project, folder)) == {FIRST: RENEWED}


def test_a_damaged_list_makes_every_difference_an_edit(small_project, folder):
    workspace.update(small_project, folder)
    (folder / LIST).write_text("{half")
    (small_project / FIRST).write_text("newer")
    assert kinds(workspace.update(small_project, folder)) == {FIRST: ASIDE}


def occupied(folder):
    folder.mkdir()
    (folder / "thesis.tex").write_text("ten years")


def a_file(folder):
    folder.write_text("not a folder")


def nowhere(folder):
    folder.symlink_to("/dev/null/nowhere")


@pytest.mark.parametrize(
    ("make", "said"),
    [(occupied, "nothing was written"), (a_file, "Choose another folder"), (nowhere, "another folder")],
)
def test_another_folder_is_refused_and_left_alone(small_project, folder, make, said):
    make(folder)
    before = files(folder)
    with pytest.raises(UsageError, match=said):
        workspace.update(small_project, folder)
    assert files(folder) == before


def test_the_walk_is_no_workspace_of_itself(small_project):
    with pytest.raises(UsageError, match="the walk itself"):
        workspace.update(small_project, small_project)
    assert not (small_project / LIST).exists()


class Histories(RuleBasedStateMachine):
    """Whatever is edited, deleted, changed and updated in turn: a participant's text is never lost."""

    names = st.sampled_from(["claims.yaml", "README.md", "new/claims.yaml"])
    texts = st.sampled_from(["a", "b", "c"])

    @initialize()
    def begin(self):
        self.place = tempfile.TemporaryDirectory()
        self.source, self.folder = Path(self.place.name, "source"), Path(self.place.name, "mine")
        self.source.mkdir()
        self.mine = {}
        self.change("claims.yaml", "a")
        self.update()

    @rule(name=st.sampled_from(["claims.yaml", "README.md"]), text=texts)
    def change(self, name, text):
        (self.source / name).write_text(f"the walk's {text}")

    @rule(name=names, text=texts)
    def edit(self, name, text):
        (self.folder / name).parent.mkdir(exist_ok=True)
        (self.folder / name).write_text(f"my {text}")
        self.mine[name] = f"my {text}"

    @rule(name=names)
    def delete(self, name):
        (self.folder / name).unlink(missing_ok=True)
        self.mine.pop(name, None)

    @rule()
    def update(self):
        workspace.update(self.source, self.folder)
        for path in self.source.iterdir():
            have = (self.folder / path.name).read_text()
            assert have == self.mine.get(path.name, path.read_text())

    @invariant()
    def nothing_of_mine_is_lost(self):
        for name, text in getattr(self, "mine", {}).items():
            assert (self.folder / name).read_text() == text

    def teardown(self):
        if hasattr(self, "place"):
            self.place.cleanup()


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=20, stateful_step_count=12)


def test_the_command_says_what_it_did_and_how_to_open_it(small_project, folder, monkeypatch, capsys):
    monkeypatch.setattr(project, "root", lambda: small_project)
    monkeypatch.setattr(sys, "argv", ["greenai", "workspace", str(folder)])
    with pytest.raises(SystemExit):
        cli.main()
    assert f"greenai lab --workspace {folder}" in capsys.readouterr().out.replace("\n", "")
    (folder / FIRST).write_text("mine")
    with pytest.raises(SystemExit):
        cli.main()
    said = capsys.readouterr().out
    assert "no new files" in said.replace("\n", " ") and f"{FIRST} is edited and stays as it is." in said
