"use strict";
const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
const read = (id) => JSON.parse(document.getElementById(id).textContent);

for (const element of document.querySelectorAll(".figure")) {
  const figure = read(element.dataset.figure);
  Plotly.newPlot(element, figure.data, figure.layout, { ...config, displayModeBar: false });
}

const map = document.getElementById("map");
if (map) drawMap(read("map-data"));

function drawMap(data) {
  const choice = document.getElementById("map-colour");
  const groups = { category: "Groups", number: "Numbers", gene: "Genes" };
  const sections = {};
  data.colours.forEach((colour, index) => {
    const kind = colour.gene ? "gene" : colour.kind;
    if (!sections[kind]) {
      sections[kind] = document.createElement("optgroup");
      sections[kind].label = groups[kind];
      choice.append(sections[kind]);
    }
    const option = document.createElement("option");
    option.value = index;
    // The names are escaped for plotly's labels; here they are text again.
    option.textContent = plain(colour.name);
    sections[kind].append(option);
  });
  // A few thousand points are sharper, printable and need no graphics card as SVG.
  const type = data.x.length > 5000 ? "scattergl" : "scatter";
  const size = data.x.length > 20000 ? 2.5 : data.x.length > 5000 ? 3.5 : data.x.length > 1500 ? 5 : 6.5;
  const hover = data.colours.filter((colour) => !colour.gene).slice(0, 6);
  const text = data.names.map((name, row) =>
    [name, ...hover.map((colour) => `${colour.name}: ${valueOf(colour, row)}`)].join("<br>"));
  const axis = { showgrid: false, zeroline: false, showticklabels: false, ticks: "" };
  const layout = {
    margin: { l: 30, r: 10, t: 36, b: 30 }, hovermode: "closest",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: "#2b3440" },
    xaxis: { ...axis, title: { text: "UMAP 1" } },
    yaxis: { ...axis, title: { text: "UMAP 2" }, scaleanchor: "x" },
    legend: { itemsizing: "constant", font: { size: 12 } },
    hoverlabel: { align: "left", bgcolor: "#fff", bordercolor: "#c9ced6", font: { color: "#2b3440" } },
  };
  const show = () => Plotly.react(map, traces(data.colours[Number(choice.value)]), layout, config);
  choice.addEventListener("change", show);
  show();

  function traces(colour) {
    if (!colour) return [trace(data.x.keys(), { color: "#3b76af" })];
    if (colour.kind === "number") {
      const scale = [[0, "#d9dee4"], [0.5, "#6ba3c4"], [1, "#0c3553"]];
      // High values last, so that they lie on top.
      const order = [...data.x.keys()].sort((a, b) => colour.values[a] - colour.values[b]);
      return [trace(order, {
        color: order.map((row) => colour.values[row]), colorscale: scale, cmin: colour.low, cmax: colour.high,
        colorbar: { thickness: 12, len: 0.6, outlinewidth: 0, title: { text: colour.name, font: { size: 12 } } },
      })];
    }
    const rows = colour.names.map(() => []);
    colour.codes.forEach((code, row) => rows[code].push(row));
    return colour.names.map((name, code) => ({
      ...trace(rows[code], { color: colour.palette[code] }), name: `${name} (${rows[code].length.toLocaleString("en")})`,
      showlegend: true,
    }));
  }

  function trace(iterable, marker) {
    const rows = [...iterable];
    return {
      type, mode: "markers", x: rows.map((row) => data.x[row]), y: rows.map((row) => data.y[row]),
      text: rows.map((row) => text[row]), hovertemplate: "%{text}<extra></extra>", showlegend: false,
      marker: { size, opacity: 0.85, line: { width: 0 }, ...marker },
    };
  }
}

function valueOf(colour, row) {
  if (colour.kind === "category") return colour.names[colour.codes[row]];
  const value = colour.values[row];
  return value === null ? "–" : value.toLocaleString("en", { maximumSignificantDigits: 4 });
}

function plain(escaped) {
  return new DOMParser().parseFromString(escaped, "text/html").documentElement.textContent;
}
