"""The prose: spelled right, claims in whole sentences, links that lead somewhere."""

import re
import subprocess
import sys

import nbformat
import pytest

from greenai_nb.lesson import project
from greenai_nb.lesson.claims import load_claims

ROOT = project.root()
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *map(str, sorted((ROOT / "docs").glob("*.md")))]
VERBS = re.compile(
    r"\b(is|are|be|has|have|was|does|do|take|takes|lie|lies|lose|loses|use|uses|remove|removes|need|needs|give|gives|make|makes|"
    r"leave|leaves|doubled|slows|moves|emits|outweighs|differ|counts|equals|holds|force|forces|change|exceeds|"
    r"cuts|lowers|cost|costs|draws|decide|decides|trains|reaches|errs|answers|classify|classifies|"
    r"brings|orders|predicts|wins)\b"
)
LINK = re.compile(r"\]\(([^)#\s]+\.ipynb)[^)]*\)")


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """The prose of every notebook, and the pages, as files."""
    folder = tmp_path_factory.mktemp("prose")
    for path in project.notebooks().glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        prose = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        (folder / f"{path.stem}.md").write_text(prose)
    return folder


def test_words_are_spelled_right(texts):
    files = [str(texts), *(str(ROOT / page) for page in PAGES), str(ROOT / "claims.yaml")]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "codespell_lib",
            "-L",
            "nd,ans",
            "-S",
            "*.csv",
            *files,
            str(ROOT / "greenai_nb"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("claim", load_claims().values(), ids=lambda claim: claim.id)
def test_a_claim_is_a_sentence_with_its_kind_and_the_origin_of_its_bounds(claim):
    assert claim.sentence[0].isupper() or not claim.sentence[0].isalpha()
    assert claim.sentence.endswith(".") and VERBS.search(claim.sentence), claim.sentence
    assert len(claim.bound.split()) > 2, "say how the bounds were chosen"


@pytest.mark.parametrize("heading", ["Robustness to pruning.", "Weights near zero, after the long run."])
def test_a_heading_is_no_sentence(heading):
    assert not VERBS.search(heading)


def test_links_between_notebooks_lead_somewhere(texts):
    for path in texts.glob("*.md"):
        for target in LINK.findall(path.read_text()):
            assert target.startswith("http") or (project.notebooks() / target).exists(), (
                path.stem,
                target,
            )
