import subprocess
import sys

from greenai_nb import show


def test_the_room_hands_on_what_a_lesson_draws_with():
    assert all(hasattr(show, name) for name in show.__all__)
    assert {"explore", "show", "show_svg", "use_style", "band", "label_ends", "BLUE"} <= set(
        show.__all__
    )


def test_drawing_needs_no_torch():
    code = "import sys, greenai_nb.show; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
