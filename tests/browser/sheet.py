"""A notebook that is open in JupyterLab, and what a reader does with it."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page

PATIENCE_S = 120
LOOK_EVERY_MS = 50
UNCHANGED_AFTER_MS = 1_500  # with an idle kernel
QUALITY, TALL = 50, {"width": 1100, "height": 2600}
# Jupyter's own words on every start, and what a browser asks any server for; nothing of the walk.
NOISE = ("Unsatisfied version", "Disabling terminals plugin", "/favicon.ico")
LOCAL = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "about:")

NOTEBOOK = "jupyterapp.shell.currentWidget"
KERNEL_IS_READY = """async () => {
  const panel = window.jupyterapp?.shell?.currentWidget;
  if (!panel?.context) return false;
  await panel.context.ready;
  await panel.sessionContext.ready;
  const kernel = panel.sessionContext.session?.kernel;
  if (!kernel) return false;
  await kernel.info;
  return kernel.status === 'idle';
}"""
RUN_ALL = """() => {
  jupyterapp.commands.execute('notebook:run-all-cells').then(ok => { window.wholeRun = {ok}; });
}"""
ERRORS = f"""() => {NOTEBOOK}.content.model.sharedModel.cells
  .flatMap((cell, at) => (cell.cell_type === 'code' ? cell.getOutputs() : [])
    .filter(output => output.output_type === 'error')
    .map(output => `cell ${{at + 1}}: ${{output.ename}}: ${{output.evalue}}`))"""
SOURCES = f"() => {NOTEBOOK}.content.model.sharedModel.cells.map(cell => cell.getSource())"
COUNT = f"at => {NOTEBOOK}.content.widgets[at].model.executionCount"
HAS_RUN = f"""([at, before]) => {{
  const count = {NOTEBOOK}.content.widgets[at].model.executionCount;
  return count && count !== before
    && {NOTEBOOK}.sessionContext.session.kernel.status === 'idle';
}}"""
PRINTED = f"""at => {NOTEBOOK}.content.model.sharedModel.cells[at].getOutputs()
  .map(output => [output.text ?? output.data?.['text/plain'] ?? ''].flat().join('')).join('')"""
RESTART = """() => {
  jupyterapp.commands.execute('kernelmenu:restart').then(() => { window.kernelIsNew = true; });
}"""
CUT_OFF = "all => all.filter(each => each.scrollWidth > each.clientWidth).map(each => each.textContent)"
BESIDE = ".widget-readout"
SHUT_DOWN = f"() => {NOTEBOOK}.sessionContext.shutdown()"
# Milliseconds from the next key press to a frame with another picture, all of it there; null if none.
WATCH_PICTURE = f"""([picture, patience]) => {{
  const before = picture.src, alt = picture.alt, box = picture.closest('.widget-vbox');
  const kernel = {NOTEBOOK}.sessionContext.session.kernel;
  window.stepTaken = new Promise(resolve => {{
    document.addEventListener('keydown', () => {{
      const start = performance.now();
      let busy = start;
      const look = () => {{
        const now = box.querySelector('img'), time = performance.now();
        if (kernel.status === 'busy') busy = time;
        if (now && now.src !== before && now.complete && now.naturalWidth)
          resolve({{milliseconds: time - start, words: now.alt !== alt}});
        else if (time - busy > patience) resolve(null);
        else requestAnimationFrame(look);
      }};
      look();
    }}, {{once: true, capture: true}});
  }});
}}"""


@dataclass(frozen=True)
class Step:
    """One step of a slider: until the picture was another one, and whether its words were."""

    milliseconds: float
    words: bool


@dataclass
class Sheet:
    """A notebook in a page of its own, with all that the page complains about or asks others for."""

    name: str
    page: Page
    well: bool = False
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        listen(self.page, self.complaints, self.foreign)

    def open(self, address: str, token: str) -> None:
        """Open the notebook, wait for its kernel, and begin to run all cells."""
        place = f"doc/workspaces/{self.name}/tree/notebooks/{self.name}.ipynb"
        self.page.goto(f"{address}/{place}?reset&token={token}")
        self.wait(KERNEL_IS_READY)
        self.page.evaluate(RUN_ALL)

    def finish(self) -> None:
        """Wait for the last cell, and note whether all went well."""
        self.wait("() => Boolean(window.wholeRun)")
        self.page.bring_to_front()
        self.well = bool(self.page.evaluate("() => window.wholeRun.ok"))

    def wait(self, condition: str, argument: Any = None) -> None:
        """Wait until a function in the page says true. Raises ``TimeoutError`` if it does not."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.page.evaluate(condition, argument):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: not true within {PATIENCE_S} s: {condition}")
            self.page.wait_for_timeout(LOOK_EVERY_MS)

    def errors(self) -> list[str]:
        """Errors among the outputs, by cell."""
        return list(self.page.evaluate(ERRORS))

    def sources(self) -> list[str]:
        """Text of each cell."""
        return list(self.page.evaluate(SOURCES))

    def explorers(self) -> list[Locator]:
        """The cells that show sliders."""
        return self.page.locator(".jp-CodeCell").filter(has=self.page.locator(".noUi-handle")).all()

    def words_beside(self, explorer: Locator) -> list[str]:
        """The words beside the sliders of an explorer."""
        return list(explorer.locator(BESIDE).all_text_contents())

    def cut_off(self, explorer: Locator) -> list[str]:
        """The words beside sliders that do not fit their place."""
        return list(explorer.locator(BESIDE).evaluate_all(CUT_OFF))

    def step(self, explorer: Locator, slider: Locator) -> Step | None:
        """Move a slider by a step, and see the picture change; None if it stays as it is."""
        picture = explorer.locator(".widget-vbox img").first.element_handle()
        self.page.evaluate(WATCH_PICTURE, [picture, UNCHANGED_AFTER_MS])
        self.press(slider)
        taken = self.page.evaluate("() => window.stepTaken")
        return Step(**taken) if taken else None

    def press(self, slider: Locator) -> None:
        """Press an arrow key on a slider, backwards at its end."""
        at_end = slider.get_attribute("aria-valuenow") == slider.get_attribute("aria-valuemax")
        slider.focus()
        self.page.keyboard.press("ArrowLeft" if at_end else "ArrowRight")

    def photograph(self, folder: Path) -> None:
        """Keep a small picture of what each explorer shows."""
        folder.mkdir(parents=True, exist_ok=True)
        usual = self.page.viewport_size
        self.page.set_viewport_size(TALL)  # Jupyter shows only what fits its window
        for number, explorer in enumerate(self.explorers(), 1):
            place = folder / f"{self.name}-{number}.jpeg"
            outputs = explorer.locator(".jp-OutputArea").first
            outputs.screenshot(path=place, type="jpeg", quality=QUALITY)
        self.page.set_viewport_size(usual)

    def answer(self, at: int, source: str) -> str:
        """Write a cell anew, as a reader does, run it, and read what it prints."""
        before = self.page.evaluate(COUNT, at)
        self.page.locator(".jp-Notebook .jp-Cell").nth(at).locator(".cm-content").click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(source)
        self.page.keyboard.press("Control+Enter")
        self.wait(HAS_RUN, [at, before])
        return self.printed(at)

    def printed(self, at: int) -> str:
        """What a cell has printed."""
        return str(self.page.evaluate(PRINTED, at))

    def restart(self) -> None:
        """Restart the kernel by Jupyter's menu, and agree when it asks."""
        self.page.evaluate(RESTART)
        self.page.locator(".jp-Dialog button.jp-mod-accept").click()
        self.wait("() => Boolean(window.kernelIsNew)")

    def close(self) -> None:
        """End the kernel and the page."""
        self.page.evaluate(SHUT_DOWN)
        self.page.close()


def listen(page: Page, complaints: list[str], foreign: list[str]) -> None:
    """Note what a page says of errors, and what it asks other machines for."""

    def complain(text: str) -> None:
        if not any(noise in text for noise in NOISE):
            complaints.append(text)

    page.on(
        "console",
        lambda said: complain(f"{said.text} {said.location['url']}") if said.type == "error" else None,
    )
    page.on("pageerror", lambda error: complain(str(error)))
    page.on(
        "request",
        lambda asked: None if asked.url.startswith(LOCAL) else foreign.append(asked.url),
    )
