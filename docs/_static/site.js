// A formula that is wider than the page scrolls in its box: let the keyboard reach it there.
function makeReachable() {
  for (const box of document.querySelectorAll("div.math, .cell_output .text_html")) {
    box.tabIndex = box.scrollWidth > box.clientWidth ? 0 : -1;
  }
}

window.addEventListener("load", async () => {
  await window.MathJax?.startup?.promise;
  makeReachable();
  window.addEventListener("resize", makeReachable);
});
