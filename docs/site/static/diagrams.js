// Draws the ```mermaid blocks of a page, and draws them again when the page turns dark or light.
(() => {
  const blocks = [...document.querySelectorAll(".mermaid pre")].map((block) => ({
    block,
    text: block.textContent,
  }));
  const systemIsDark = matchMedia("(prefers-color-scheme: dark)");

  function isDark() {
    const { theme } = document.body.dataset;
    return theme === "dark" || (theme !== "light" && systemIsDark.matches);
  }

  async function draw() {
    mermaid.initialize({ startOnLoad: false, theme: isDark() ? "dark" : "neutral" });
    for (const [number, { block, text }] of blocks.entries()) {
      block.innerHTML = (await mermaid.render(`diagram-${number}`, text)).svg;
    }
  }

  let drawing = Promise.resolve();
  const redraw = () => (drawing = drawing.then(draw));
  systemIsDark.addEventListener("change", redraw);
  new MutationObserver(redraw).observe(document.body, { attributeFilter: ["data-theme"] });
  redraw();
})();
