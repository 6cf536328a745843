// Added to the end of a page: waits for its figures, measures and tries it, and tells the page that holds it.
setTimeout(() => {
  const found = { errors: pageErrors, outside: [], overlaps: [], colours: [] };
  const width = document.documentElement.clientWidth;
  const nameOf = (node) =>
    `${node.tagName}${node.id ? "#" + node.id : ""}.${node.getAttribute("class") ?? ""} "${node.textContent.trim().slice(0, 40)}"`;
  const box = (node) => node.getBoundingClientRect();
  const isShown = (node) => box(node).width > 0 && box(node).height > 0;
  found.width = width;
  found.scroll_width = document.documentElement.scrollWidth;

  // Blocks and words end before the page does, but for what scrolls by itself.
  for (const node of document.querySelectorAll("body *:not(script):not(svg *):not(#js-plotly-tester)")) {
    if (!isShown(node) || node.closest(".scroll > *, .wide > *, pre > *, .skip, #map svg")) continue;
    if (box(node).right > width + 1 || box(node).left < -1) found.outside.push(nameOf(node));
  }
  // Blocks follow each other.
  for (const parent of document.querySelectorAll("main, section, header > div, .wide, details[open], body")) {
    const blocks = [...parent.children].filter((node) => isShown(node) && getComputedStyle(node).position !== "absolute");
    blocks.slice(1).forEach((node, before) => {
      const pulled = node.classList.contains("tools") ? 8 : 1;
      if (box(node).top < box(blocks[before]).bottom - pulled) found.overlaps.push(`${nameOf(blocks[before])} | ${nameOf(node)}`);
    });
  }
  // Texts of a figure stand apart, and its drawing ends within it.
  for (const figure of document.querySelectorAll(".figure, #map")) {
    for (const svg of figure.querySelectorAll(".main-svg")) {
      if (box(svg).right > box(figure).right + 1) found.outside.push(`svg of ${nameOf(figure)}`);
    }
    const texts = [...figure.querySelectorAll(".xtick text, .ytick text, .legendtext, .xtitle, .ytitle, .gtitle, .annotation-text")]
      .filter(isShown);
    const isTurned = (text) => /rotate\(-?[1-9]/.test(text.getAttribute("transform") ?? "");
    texts.forEach((one, number) => texts.slice(number + 1).forEach((other) => {
      if (isTurned(one) && isTurned(other)) return;
      // Names in a legend that scrolls may lie outside of it, where they are not seen.
      if (one.closest(".legend") && other.closest(".legend")) return;
      const [a, b] = [box(one), box(other)];
      const [x, y] = [Math.min(a.right, b.right) - Math.max(a.left, b.left), Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)];
      if (x > 2 && y > 3) found.overlaps.push(`${figure.dataset.name}: ${one.textContent} | ${other.textContent}`);
    }));
  }
  // The map changes colour on choice.
  const map = document.getElementById("map"), choice = document.getElementById("map-colour");
  const says = document.getElementById("map-says"), search = document.getElementById("map-gene");
  const colours = () => map.data.map((trace) => trace.marker.color);
  const tell = () => found.colours.push(JSON.stringify(colours()).slice(0, 4000));
  if (map) {
    tell();
    for (const option of [...choice.options].slice(1, 3)) {
      choice.value = option.value;
      choice.dispatchEvent(new Event("change"));
      tell();
    }
    if (search) {
      search.value = document.querySelector("#map-genes option").value;
      search.dispatchEvent(new Event("change"));
      tell();
      found.gene = search.value;
      found.gene_says = says.textContent;
      found.gene_values = colours()[0].filter((value) => value > 0).length;
      search.value = "NO SUCH GENE";
      search.dispatchEvent(new Event("change"));
      found.unknown_says = says.textContent;
    }
    const cell = document.querySelector("[data-cell]");
    if (cell) {
      choice.value = [...choice.options].find((one) => one.textContent === "anomaly_score").value;
      choice.dispatchEvent(new Event("change"));
      const before = map.data.length;
      cell.click();
      const ring = map.data.at(-1);
      found.ring = { says: says.textContent, at: [ring.x[0], ring.y[0]], n_traces: map.data.length, n_traces_before: before };
    }
    const program = document.getElementById("program");
    if (program) {
      const place = document.getElementById("program-place"), line = document.getElementById("program-says");
      const bars = document.getElementById("program-figure");
      const told = { names: [...program.options].map((one) => one.textContent), range: [place.min, place.max] };
      Object.assign(told, { at_end: bars.data[0].x, says_at_end: line.textContent, genes: bars.data[0].text });
      place.value = 0;
      place.dispatchEvent(new Event("input"));
      Object.assign(told, { at_start: bars.data[0].x, says_at_start: line.textContent, value_text: place.getAttribute("aria-valuetext") });
      program.value = 1;
      program.dispatchEvent(new Event("change"));
      document.getElementById("program-colour").click();
      Object.assign(told, { genes_of_next: bars.data[0].text, map_says: says.textContent, map_values: colours()[0] });
      found.program = told;
      if (cell) found.ring.stays = map.data.some((trace) => trace.name === "ring");
    }
    const cluster = document.querySelector("[data-cluster]");
    cluster?.click();
    found.cluster_says = says.textContent;
  }
  // A word says its meaning to the keyboard.
  const word = document.querySelector(".word"), tip = document.getElementById("tip");
  word.dispatchEvent(new Event("focus"));
  found.tip = tip.hidden ? "" : tip.textContent;
  if (box(tip).right > width) found.outside.push("the meaning of a word");
  word.dispatchEvent(new Event("blur"));
  found.tip_stays = !tip.hidden;
  // What has no name cannot be used by those who do not see it.
  found.nameless = [...document.querySelectorAll("button, input, select, a, .figure, #map")]
    .filter((node) => !(node.getAttribute("aria-label") || node.textContent.trim() || node.labels?.length)).map(nameOf);
  found.folded = [...document.querySelectorAll("table.folded")].map((table) => [...table.tBodies[0].rows].filter(isShown).length);
  found.ink = getComputedStyle(document.querySelector("main p")).color;
  found.paper = getComputedStyle(document.body).backgroundColor;
  const tick = document.querySelector(".xtick text");
  found.tick = tick ? getComputedStyle(tick).fill : found.ink;
  // Printed, figures are as wide as the paper, all is open, and nothing of it stays.
  dispatchEvent(new Event("beforeprint"));
  found.printed = [...document.querySelectorAll(".figure, #map")]
    .map((figure) => [Boolean(figure.closest(".grid")), figure.layout.width]);
  found.closed_on_paper = document.querySelectorAll("details:not([open])").length;
  dispatchEvent(new Event("afterprint"));
  found.open_again = document.querySelectorAll("details[open]").length;
  parent.postMessage(found, "*");
}, 200);
