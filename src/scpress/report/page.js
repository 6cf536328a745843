"use strict";
const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const byId = (id) => document.getElementById(id);
const wantsDark = matchMedia("(prefers-color-scheme: dark)");
let isPrinting = false;
const isDark = () => wantsDark.matches && !isPrinting;
// Printed on A4 within its margins, alone or two side by side.
const PAPER_WIDTH = 660, HALF_WIDTH = 322;
const drawn = [];

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// Figures come in colours for white paper: ink and lines have their partner on black, dark colours are lightened.
const PARTNERS = { "#2b3440": "#dde3ea", "#6b7480": "#a3adb9", "#e4e7eb": "#303a45", "#c9ced6": "#4a5663", "#fff": "#1f272f" };
function tone(colour) {
  if (!isDark() || !/^#[0-9a-f]{3,6}$/i.test(colour)) return colour;
  if (PARTNERS[colour]) return PARTNERS[colour];
  const parts = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const light = (0.3 * parts[0] + 0.6 * parts[1] + 0.1 * parts[2]) / 255;
  if (light > 0.45) return colour;
  const lift = (0.55 - light) / (1 - light);
  return `rgb(${parts.map((part) => Math.round(part + lift * (255 - part)))})`;
}
function toned(value, key = "") {
  if (Array.isArray(value)) return /colou?r/.test(key) || key === "scale" ? value.map((one) => toned(one, key)) : value;
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([name, one]) => {
      if (name === "colorscale") return [name, isDark() ? DARK_SCALE : one];
      return [name, Array.isArray(one) && ["shapes", "annotations"].includes(name) ? one.map((part) => toned(part)) : toned(one, name)];
    }));
  }
  return typeof value === "string" && /colou?r/.test(key) ? tone(value) : value;
}
const LIGHT_SCALE = [[0, "#d9dee4"], [0.5, "#6ba3c4"], [1, "#0c3553"]];
const DARK_SCALE = [[0, "#33404c"], [0.5, "#4f9bc4"], [1, "#d8f0ff"]];

for (const element of document.querySelectorAll(".figure[data-figure]")) {
  const figure = read(element.dataset.figure);
  const draw = () => {
    const onPaper = element.closest(".grid") ? HALF_WIDTH : PAPER_WIDTH;
    const width = isPrinting ? onPaper : element.clientWidth;
    const layout = { ...makeRoom(figure.layout, figure.data, width), ...(isPrinting ? { width, autosize: false } : {}) };
    element.style.height = `${layout.height}px`;
    Plotly.react(element, figure.data.map((one) => toned(one)), toned(layout), { ...config, displayModeBar: false });
  };
  drawn.push(draw);
  draw();
  addTools(element.parentElement, element, (format) => Plotly.downloadImage(element, { format, filename: fileName(element) }));
}

// Lines of a legend stand above the figure, as many as the width needs, and push it down.
function makeRoom(layout, data, width) {
  const names = data.filter((one) => one.name && one.showlegend !== false).map((one) => one.name.length);
  if (layout.showlegend === false || names.length < 2) return layout;
  const inLine = Math.max(1, Math.floor((width - 80) / (46 + 6.8 * Math.max(...names))));
  const top = Math.max(layout.margin.t, 16 + 21 * Math.ceil(names.length / inLine));
  return { ...layout, height: layout.height + top - layout.margin.t, margin: { ...layout.margin, t: top } };
}

const map = byId("map");
let mapOf = null;
if (map) mapOf = drawMap(read("map-data"));

function drawMap(data) {
  const choice = byId("map-colour"), search = byId("map-gene"), says = byId("map-says");
  const groups = { category: "Groups", number: "Numbers" };
  const sections = {};
  data.colours.forEach((colour, index) => {
    if (!sections[colour.kind]) {
      sections[colour.kind] = make("optgroup", { label: groups[colour.kind] });
      choice.append(sections[colour.kind]);
    }
    // The names are escaped for plotly's labels; here they are text again.
    sections[colour.kind].append(make("option", { value: index, textContent: plain(colour.name) }));
  });
  const genes = new Map((data.genes ? data.genes.names : []).map((name, number) => [plain(name).toUpperCase(), number]));
  if (search) byId("map-genes").append(...data.genes.names.map((name) => make("option", { value: plain(name) })));
  const n = data.x.length;
  // A few thousand points are sharper, printable and need no graphics card as SVG.
  const type = n > 5000 ? "scattergl" : "scatter";
  const size = n > 20000 ? 2.5 : n > 5000 ? 3.5 : n > 1500 ? 5 : 6.5;
  const hover = data.colours.slice(0, 6);
  const text = data.names.map((name, row) =>
    [name, ...hover.map((colour) => `${colour.name}: ${valueOf(colour, row)}`)].join("<br>"));
  const axis = { showgrid: false, zeroline: false, showticklabels: false, ticks: "" };
  const layout = () => {
    const isNarrow = map.clientWidth < 640 && !isPrinting;
    return toned({
      margin: { l: 30, r: 10, t: 36, b: 30 }, hovermode: "closest", modebar: { bgcolor: "rgba(0,0,0,0)", color: "#6b7480", activecolor: "#3b76af" }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: "#2b3440" },
      // Where the legend stands below, it has the place of the axis's name.
      xaxis: { ...axis, title: { text: isNarrow ? "" : "UMAP 1" } },
      yaxis: { ...axis, title: { text: isNarrow ? "" : "UMAP 2" }, scaleanchor: "x" },
      legend: { itemsizing: "constant", font: { size: 12 }, ...(isNarrow ? { orientation: "h", y: -0.08, yanchor: "top", x: 0 } : {}) },
      hoverlabel: { align: "left", bgcolor: "#fff", bordercolor: "#c9ced6", font: { color: "#2b3440" } },
      ...(isPrinting ? { width: PAPER_WIDTH, autosize: false } : {}),
    });
  };
  // Every colour is made once more whenever light becomes dark.
  let current = () => traces(data.colours[0]), ringed = null;
  const show = () => Plotly.react(map, [...current(), ...(ringed === null ? [] : [ring(ringed)])], layout(), config);
  const set = (make, words = "", row = null) => { current = make; ringed = row; says.textContent = words; return show(); };
  choice.addEventListener("change", () => {
    if (search) search.value = "";
    set(() => traces(data.colours[Number(choice.value)]));
  });
  if (search) search.addEventListener("change", () => search.value.trim() && byGene(search.value));
  show();
  addTools(map.parentElement, map, (format) => Plotly.downloadImage(map, { format, filename: fileName(map), width: 1100, height: 750 }), map);
  drawn.push(show);
  return { byGene, byCluster, byCell, byValues };

  function byGene(wanted) {
    const number = genes.get(wanted.trim().toUpperCase());
    if (number === undefined) {
      says.textContent = `${wanted.trim()} is not among the ${genes.size.toLocaleString("en")} genes of this page; the file of the results has all.`;
      return false;
    }
    const name = data.genes.names[number], counts = countsOf(data.genes, number, n);
    const values = counts.map((count, row) => Math.log1p(count / data.genes.size_factor[row]));
    const found = values.filter((value) => value > 0).sort((a, b) => a - b);
    const high = found.length ? found[Math.floor(0.99 * (found.length - 1))] : 1;
    if (search) search.value = plain(name);
    const most = data.genes.most;
    set(() => byNumber({ name, values, low: 0, high },
      (row) => `<br>${name}: ${counts[row] === most ? `${most} or more` : counts[row]} molecule${counts[row] === 1 ? "" : "s"}`),
      `${plain(name)}: molecules in ${found.length.toLocaleString("en")} of ${n.toLocaleString("en")} cells shown.`);
    return true;
  }

  function byCluster(cluster) {
    const index = data.colours.findIndex((colour) => colour.name === data.leiden);
    if (index < 0) return;
    choice.value = index;
    if (search) search.value = "";
    const code = data.colours[index].names.findIndex((name) => plain(name) === cluster);
    set(() => traces(data.colours[index], code), `Cluster ${cluster} alone is in colour.`);
  }

  // Beside a ring stand the scores of all cells.
  function byCell(row) {
    const index = data.colours.findIndex((colour) => colour.name === "anomaly_score");
    choice.value = index;
    if (search) search.value = "";
    set(() => traces(data.colours[index]), `The ring is around ${plain(data.names[row])}.`, row);
  }

  function byValues(colour, words) {
    if (search) search.value = "";
    set(() => byNumber(colour), words);
  }

  function ring(row) {
    return { ...trace([row], { size: 18, symbol: "circle-open", opacity: 1, color: tone("#d9822b"), line: { width: 3 } }), name: "ring" };
  }

  function traces(colour, only = null) {
    if (!colour) return [trace(data.x.keys(), { color: tone("#3b76af") })];
    if (colour.kind === "number") return byNumber(colour);
    const rows = colour.names.map(() => []);
    colour.codes.forEach((code, row) => rows[code].push(row));
    const all = colour.names.map((name, code) => ({
      ...trace(rows[code], only === null || only === code
        ? { color: tone(colour.palette[code]) } : { color: isDark() ? "#3a4550" : "#dde1e6", opacity: 0.5 }),
      name: `${name} (${rows[code].length.toLocaleString("en")})`, showlegend: true,
    }));
    return only === null ? all : [...all.filter((_, code) => code !== only), all[only]];
  }

  function byNumber(colour, more) {
    // High values last, so that they lie on top.
    const order = [...data.x.keys()].sort((a, b) => colour.values[a] - colour.values[b]);
    return [trace(order, {
      color: order.map((row) => colour.values[row]), colorscale: isDark() ? DARK_SCALE : LIGHT_SCALE,
      cmin: colour.low, cmax: colour.high,
      colorbar: { thickness: 12, len: 0.6, outlinewidth: 0, title: { text: colour.name, font: { size: 12 } } },
    }, more)];
  }

  function trace(iterable, marker, more = () => "") {
    const rows = [...iterable];
    return {
      type, mode: "markers", x: rows.map((row) => data.x[row]), y: rows.map((row) => data.y[row]),
      text: rows.map((row) => text[row] + more(row)), hovertemplate: "%{text}<extra></extra>", showlegend: false,
      marker: { size, opacity: 0.85, line: { width: 0 }, ...marker },
    };
  }
}

if (byId("program")) drawPrograms(read("program-data"));

// Bars of a program's genes at the place it is moved to, and the map by how far along it cells are.
function drawPrograms(data) {
  const choice = byId("program"), place = byId("program-place"), says = byId("program-says");
  const button = byId("program-colour"), element = byId("program-figure"), sections = {};
  data.programs.forEach((one, index) => {
    if (!sections[one.kind]) choice.append(sections[one.kind] = make("optgroup", { label: one.kind }));
    sections[one.kind].append(make("option", { value: index, textContent: plain(one.name) }));
  });
  const chosen = () => data.programs[Number(choice.value)];
  const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
  function draw() {
    const one = chosen(), values = one.values[Number(place.value)], numbers = [...one.genes.keys()];
    const most = 1.05 * Math.max(...one.values.flat().map(Math.abs));
    const { layout } = data, height = 90 + 19 * numbers.length;
    element.style.height = `${height}px`;
    Plotly.react(element, [{
      type: "bar", orientation: "h", x: values, y: numbers, text: one.genes, textposition: "none",
      marker: { color: values.map((value) => tone(value < 0 ? data.falls : data.rises)) }, hovertemplate: "%{text}: %{x:+.2f}<extra></extra>",
    }], toned({
      ...layout, height, xaxis: { ...layout.xaxis, range: [-most, most], zeroline: true, zerolinecolor: "#c9ced6" },
      yaxis: { ...layout.yaxis, tickvals: numbers, ticktext: one.genes, range: [numbers.length - 0.4, -0.6], showgrid: false },
      ...(isPrinting ? { width: PAPER_WIDTH, autosize: false } : {}),
    }), { ...config, displayModeBar: false });
  }
  function tell() {
    const one = chosen(), at = Number(place.value), values = one.values[at];
    const named = (numbers) => numbers.slice(0, 5).map((number) => `${plain(one.genes[number])} ${signed(values[number])}`).join(", ");
    const numbers = [...one.genes.keys()];
    const up = named(numbers.filter((number) => values[number] > 0)), down = named(numbers.filter((number) => values[number] < 0).reverse());
    place.setAttribute("aria-valuetext", one.places[at]);
    says.textContent = `${plain(one.name)}, ${one.places[at]}: ` + (up || down
      ? [up && `more ${up}`, down && `less ${down}`].filter(Boolean).join("; ") : "the start, from which genes change") + ".";
    draw();
  }
  function choose() {
    place.max = chosen().values.length - 1;
    place.value = place.max;
    button.disabled = !mapOf || !chosen().colour;
    tell();
  }
  choice.addEventListener("change", choose);
  place.addEventListener("input", tell);
  button.addEventListener("click", () => {
    const one = chosen(), scale = (one.high - one.low) / 255;
    const values = Array.from(atob(one.colour), (byte) => one.low + scale * byte.charCodeAt(0));
    mapOf.byValues({ name: one.name, values, low: one.low, high: one.high }, `Cells by their place along ${plain(one.name)}.`);
    byId("cells").scrollIntoView();
  });
  choose();
  addTools(element.parentElement, element, (format) => Plotly.downloadImage(element, { format, filename: fileName(element) }));
  drawn.push(draw);
}

// Gaps from one cell that has the gene to the next, and its molecules there; a gap of 255 goes on.
function countsOf(genes, number, n) {
  const bytes = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  const molecules = bytes(genes.counts[number]), counts = new Array(n).fill(0);
  let place = -1, at = 0;
  for (const gap of bytes(genes.gaps[number])) {
    place += gap;
    if (gap < genes.most) counts[place] = molecules[at++];
  }
  return counts;
}

function valueOf(colour, row) {
  if (colour.kind === "category") return colour.names[colour.codes[row]];
  const value = colour.values[row];
  return value === null ? "–" : value.toLocaleString("en", { maximumSignificantDigits: 4 });
}

function plain(escaped) {
  return new DOMParser().parseFromString(escaped, "text/html").documentElement.textContent;
}

// Cells of a cluster and genes, wherever they are named.
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-cluster], [data-gene], [data-cell]");
  if (!link || !mapOf) return;
  if (link.dataset.cell !== undefined) return mapOf.byCell(Number(link.dataset.cell));
  if (link.dataset.cluster !== undefined) mapOf.byCluster(link.dataset.cluster);
  else if (mapOf.byGene(plain(link.dataset.gene))) byId("cells").scrollIntoView();
});

// A place that a link leads to is open.
const openTarget = () => {
  const place = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
  if (place) (place.closest("details") ?? {}).open = true;
  if (place) place.closest("table")?.classList.remove("folded");
};
addEventListener("hashchange", openTarget);

// What is drawn while it is closed has no width.
for (const one of document.querySelectorAll("details")) {
  one.addEventListener("toggle", () => { if (one.open && !isPrinting && one.querySelector(".figure")) redraw(); });
}

// Tables: long ones fold, all can be had as text.
const LONGEST = 15, FIRST = 10;
for (const table of document.querySelectorAll("table[data-name]")) {
  const rows = [...table.tBodies[0].rows], tools = [];
  if (rows.length > LONGEST) {
    rows.slice(FIRST).forEach((row) => row.classList.add("more"));
    table.classList.add("folded");
    const label = () => (table.classList.contains("folded") ? `All ${rows.length} rows` : `First ${FIRST} rows`);
    const fold = make("button", { type: "button", textContent: label() });
    fold.setAttribute("aria-expanded", "false");
    fold.addEventListener("click", () => {
      fold.setAttribute("aria-expanded", String(!table.classList.toggle("folded")));
      fold.textContent = label();
    });
    tools.push(fold);
  }
  const save = make("button", { type: "button", textContent: "TSV", title: "Download this table" });
  save.setAttribute("aria-label", `Download the table ${table.dataset.name} as TSV`);
  save.addEventListener("click", () => download(`${fileName(table)}.tsv`, textOf(table)));
  table.parentElement.after(make("div", { className: "tools" }, ...tools, save));
}
openTarget();

// Numbers without the commas between thousands; what stands small under a number is a column of its own.
function textOf(table) {
  const words = (node) => node.textContent.trim().replace(/\s+/g, " ").replace(/^-?\d{1,3}(,\d{3})+(\.\d+)?$/, (one) => one.replaceAll(",", ""));
  const rows = [...table.rows].map((row) => [...row.cells].map((cell) => {
    const copy = cell.cloneNode(true), small = copy.querySelector(".range");
    small?.remove();
    return [words(copy), small ? words(small) : ""];
  }));
  const isTwo = rows[0].map((_, column) => rows.some((row) => row[column]?.[1]));
  rows[0] = rows[0].map(([name]) => [name, `${name}: more`]);
  return rows.map((row) => row.flatMap((pair, column) => (isTwo[column] ? pair : [pair[0]])).join("\t")).join("\n") + "\n";
}

function download(name, text) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "text/tab-separated-values" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function fileName(element) {
  return element.dataset.name.replace(/[^\w.-]+/g, "_");
}

function addTools(parent, element, save, after = parent) {
  const buttons = ["svg", "png"].map((format) => {
    const button = make("button", { type: "button", textContent: format.toUpperCase(), title: "Download this figure" });
    button.setAttribute("aria-label", `Download the figure ${element.dataset.name} as ${format.toUpperCase()}`);
    button.addEventListener("click", () => save(format));
    return button;
  });
  after.after(make("div", { className: "tools" }, ...buttons));
}

// Words: their meaning beside them, by mouse or keyboard; Escape takes it away.
const tip = make("div", { id: "tip", hidden: true });
tip.setAttribute("aria-hidden", "true"); // screen readers have it from aria-describedby
document.body.append(tip);
const hideTip = () => { tip.hidden = true; };
function showTip(word) {
  tip.textContent = byId(word.getAttribute("aria-describedby")).textContent;
  tip.hidden = false;
  const place = word.getBoundingClientRect();
  const left = Math.min(place.left, document.documentElement.clientWidth - tip.offsetWidth - 12);
  tip.style.left = `${Math.max(12, left) + scrollX}px`;
  tip.style.top = `${place.bottom + scrollY + 6}px`;
}
for (const word of document.querySelectorAll(".word")) {
  word.addEventListener("mouseenter", () => showTip(word));
  word.addEventListener("focus", () => showTip(word));
  word.addEventListener("mouseleave", hideTip);
  word.addEventListener("blur", hideTip);
}
addEventListener("keydown", (event) => event.key === "Escape" && hideTip());

// Dots and bars of tables follow the figures.
const spots = [...document.querySelectorAll(".dot, .bar")].map((spot) => [spot, colourOf(spot.getAttribute("style"))]);
function colourOf(style) {
  return /background: (#[0-9a-f]+)/i.exec(style)?.[1] ?? "";
}
function redraw() {
  for (const [spot, colour] of spots) if (colour) spot.style.background = tone(colour);
  drawn.forEach((draw) => draw());
}
if (isDark()) redraw();
wantsDark.addEventListener("change", redraw);
// A telephone that is turned has other room for legends.
let widthBefore = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== widthBefore && !isPrinting) redraw();
  widthBefore = innerWidth;
});
// On paper: light, as wide as the paper, with nothing folded.
let closed = [];
addEventListener("beforeprint", () => {
  isPrinting = true;
  closed = [...document.querySelectorAll("details:not([open])")];
  closed.forEach((one) => { one.open = true; });
  redraw();
});
addEventListener("afterprint", () => {
  isPrinting = false;
  closed.forEach((one) => { one.open = false; });
  redraw();
});
