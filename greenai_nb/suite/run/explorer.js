// Sliders without a kernel: each step was drawn when the notebook ran, and is loaded when it is wanted.
function startExplorer(explorer) {
  const { folder, sliders, words } = JSON.parse(explorer.querySelector("script").textContent);
  const [picture, status] = [explorer.querySelector("img"), explorer.querySelector("p")];
  const inputs = [...explorer.querySelectorAll("input")];
  let wanted = 0;
  async function show() {
    const step = sliders.reduce((at, { values }, i) => at * values.length + Number(inputs[i].value), 0);
    inputs.forEach((input, i) => {
      const value = sliders[i].values[input.value];
      input.setAttribute("aria-valuetext", value);
      input.nextElementSibling.textContent = value;
    });
    const [turn, next] = [++wanted, new Image()];
    next.src = `${folder}/${step}.png`;
    await next.decode().catch(() => {});
    if (turn === wanted) {  // no later step was asked for in the meantime
      Object.assign(picture, { src: next.src, alt: words[step] });
      status.textContent = words[step];
    }
  }
  inputs.forEach((input) => input.addEventListener("input", show));
  new IntersectionObserver((seen, observer) => {
    if (seen.some(({ isIntersecting }) => isIntersecting)) { observer.disconnect(); show(); }
  }, { rootMargin: "200px" }).observe(explorer);
  explorer.hidden = false;
}
document.addEventListener("DOMContentLoaded", () => document.querySelectorAll(".explorer").forEach(startExplorer));
