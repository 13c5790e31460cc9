
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const find = (selector, within = document) => within.querySelector(selector);

// Names are text, never markup: all nodes are made here.
function node(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "line", "path", "rect", "text", "title"].includes(tag);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Tables ---------------------------------------------------------------------------------------------------------

function sortTable(table, header, descending) {
  const place = [...header.parentNode.children].indexOf(header);
  const numeric = header.classList.contains("number");
  const key = row => numeric ? row.cells[place].dataset.value : row.cells[place].textContent;
  const rows = [...table.tBodies[0].rows].sort((one, other) => {
    const [a, b] = [key(one), key(other)];
    if (a === "" || b === "") return (a === "") - (b === "");  // what is missing comes last, either way
    return (descending ? -1 : 1) * (numeric ? a - b : a.localeCompare(b, "en", {numeric: true}));
  });
  table.tBodies[0].append(...rows);
  for (const other of header.parentNode.children) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
}

// The address tells the sorting, #sort=results/few/descending, so that it can be shared.
function sortByAddress() {
  const [, id, key, order] = location.hash.match(/^#sort=([^/]*)\/([^/]*)\/(ascending|descending)$/) || [];
  const table = [...document.querySelectorAll("table.sortable")].find(table => table.id === id);
  const header = table && [...table.tHead.rows[0].cells].find(cell => encodeURIComponent(cell.dataset.key) === key);
  if (header && find("button", header)) sortTable(table, header, order === "descending");
}

for (const table of document.querySelectorAll("table.sortable")) {
  table.tHead.addEventListener("click", event => {
    const header = event.target.closest("button") && event.target.closest("th");
    if (!header) return;
    const state = header.getAttribute("aria-sort");
    const order = state ? (state === "ascending" ? "descending" : "ascending")
      : header.classList.contains("number") ? "descending" : "ascending";
    sortTable(table, header, order === "descending");
    history.replaceState(null, "", `#sort=${table.id}/${encodeURIComponent(header.dataset.key)}/${order}`);
  });
}
addEventListener("hashchange", sortByAddress);
sortByAddress();

// Charts ---------------------------------------------------------------------------------------------------------

const MARKS = ["M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z", "M-3-3h6v6h-6z", "M0-4l4 4-4 4-4-4z", "M0-4l4 7h-8z", "M0 4l4-7h-8z"];
const style = slot => `s${slot % 8}`;
const dash = slot => slot >= 8 ? " dashed" : "";
const mark = (slot, x, y) => node("path", {class: style(slot), d: MARKS[slot % MARKS.length], transform: `translate(${x} ${y})`});

function niceTicks(low, high, about) {
  const rough = (high - low) / about || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find(factor => factor * power >= rough);
  const ticks = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-6; value += step) ticks.push(+value.toPrecision(12));
  return ticks;
}

const shorten = (text, most) => text.length > most ? text.slice(0, most - 1) + "…" : text;
const signed = value => (value > 0 ? "+" : "") + value;

// series: {name, slot, x, y, half}; labels: names of whole x; bars: amounts at whole x; borders: {slot, x, name}
function chart(holder, {series, labels, yLabel = "", title = yLabel, xLabel, bars, rule, borders = [], unit = "", signs = false, range}) {
  const width = Math.max(260, holder.clientWidth), height = width < 520 ? 250 : 300;
  const longest = labels ? Math.min(12, Math.max(...labels.map(label => label.length))) : 0;
  const slanted = longest > 3;
  const box = {left: yLabel ? 50 : 38, right: width - 10, top: 10, bottom: height - (slanted ? 38 + longest * 4 : 40)};
  const few = labels && labels.length <= 20;  // enough room for whiskers, and for points side by side
  const half = (one, i) => few && one.half?.[i] || 0;
  const values = series.flatMap(one => one.y.flatMap((y, i) => y === null ? [] : [y - half(one, i), y + half(one, i)]));
  if (rule !== undefined) values.push(rule);
  let [low, high] = range || [Math.min(...values), Math.max(...values)];
  if (!range) { const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1; low = low === 0 ? 0 : low - room; high += room; }
  const last = labels ? labels.length - 1 : Math.max(...series.map(one => one.x.at(-1)));
  const margin = labels ? 0.5 : 0;
  const toX = x => box.left + (x + margin) / (last + 2 * margin || 1) * (box.right - box.left);
  const toY = y => box.bottom - (y - low) / (high - low) * (box.bottom - box.top);
  const svg = node("svg", {viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
    "aria-label": `${title} over ${xLabel}: ${series.map(one => one.name).join(", ")}`});

  if (bars) {
    const most = Math.log1p(Math.max(...bars, 1)), step = toX(1) - toX(0);
    bars.forEach((amount, i) => {
      const size = Math.log1p(amount) / most * (box.bottom - box.top);
      svg.append(node("rect", {class: "bar", x: toX(i) - step * 0.4, y: box.bottom - size, width: step * 0.8, height: size}));
    });
  }
  for (const tick of niceTicks(low, high, 5)) {
    svg.append(node("line", {class: tick === rule ? "rule" : "grid", x1: box.left, x2: box.right, y1: toY(tick), y2: toY(tick)}),
      node("text", {x: box.left - 6, y: toY(tick) + 4, "text-anchor": "end"}, signs ? signed(tick) : String(tick)));
  }
  if (rule !== undefined) svg.append(node("line", {class: "rule", x1: box.left, x2: box.right, y1: toY(rule), y2: toY(rule)}));
  const room = labels ? (slanted ? 15 : 8 * longest + 8) : 1;
  const stride = labels ? Math.ceil(labels.length * room / (box.right - box.left)) : 1;
  const ticks = labels ? labels.map((label, i) => [i, label]).filter(([i]) => i % stride === 0)
    : niceTicks(0, last, width < 520 ? 4 : 8).filter(Number.isInteger).map(x => [x, String(x)]);
  for (const [x, label] of ticks) {
    const turned = slanted ? {transform: `translate(${toX(x) + 4} ${box.bottom + 14}) rotate(-38)`, "text-anchor": "end"}
      : {x: toX(x), y: box.bottom + 16, "text-anchor": "middle"};
    svg.append(node("text", turned, shorten(label, 12), node("title", {}, label)));
  }
  svg.append(node("text", {x: (box.left + box.right) / 2, y: height - 4, "text-anchor": "middle"}, xLabel),
    node("text", {transform: `translate(11 ${(box.top + box.bottom) / 2}) rotate(-90)`, "text-anchor": "middle"}, yLabel));
  for (const {slot, x, name} of borders) {
    svg.append(node("line", {class: `border ${style(slot)}`, x1: toX(x), x2: toX(x), y1: box.top, y2: box.bottom}, node("title", {}, name)));
  }
  for (const [number, one] of series.entries()) {
    const shift = few ? (number - (series.length - 1) / 2) * Math.min(4, 30 / series.length) : 0;
    const places = one.x.flatMap((x, i) => one.y[i] === null ? [] : [[toX(x) + shift, toY(one.y[i]), i]]);
    const path = places.map(([x, y, i], k) => `${k && places[k - 1][2] === i - 1 ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
    svg.append(node("path", {class: `line ${style(one.slot)}${dash(one.slot)}`, d: path}));
    if (!labels) continue;
    for (const [x, y, i] of places) {
      const size = half(one, i);
      if (size) svg.append(node("line", {class: `whisker ${style(one.slot)}`, x1: x, x2: x, y1: toY(Math.max(low, one.y[i] - size)), y2: toY(Math.min(high, one.y[i] + size))}));
      const point = mark(one.slot, x, y);
      point.append(node("title", {}, `${one.name}, ${labels[i]}: ${signs ? signed(one.y[i]) : one.y[i]}${one.half?.[i] ? ` ± ${one.half[i]}` : ""}${unit}`));
      svg.append(point);
    }
  }
  holder.replaceChildren(svg);
}

function legend(figure, shown) {
  find(".legend", figure).replaceChildren(...shown.map(({name, slot}) => {
    const swatch = node("svg", {width: 26, height: 14, viewBox: "0 0 26 14", "aria-hidden": "true"},
      node("path", {class: `line ${style(slot)}${dash(slot)}`, d: "M0 7H26"}), mark(slot, 13, 7));
    return node("span", {}, swatch, name);
  }));
}

// A figure over classes of what the groups keep under a name: values, or values and half widths.
function classFigure(id, split, shown, caption, options) {
  const figure = document.getElementById(id), having = shown.filter(group => group[id]);
  figure.hidden = having.length === 0;
  if (figure.hidden) return;
  find("p", figure).textContent = caption;
  legend(figure, having);
  const x = split.classes.map((_, i) => i);
  const series = having.map(group => {
    const [y, half] = Array.isArray(group[id][0]) ? group[id] : [group[id]];
    return {name: group.name, slot: group.slot, x, y, half};
  });
  chart(find(".chart", figure), {series, labels: split.classes, xLabel: "class, most to fewest training images", ...options});
}

const CURVES = {"train/loss": "training loss", "train/accuracy": "training accuracy (%), natural images",
  "val/balanced_accuracy": "validation balanced accuracy (%)", "noise_share": "noise in a batch (%)", "lr": "learning rate"};

function curveFigure(shown) {
  const figure = document.getElementById("curves"), holder = find(".charts", figure);
  const having = shown.filter(group => Object.keys(group.curves).length);
  figure.hidden = having.length === 0;
  if (figure.hidden) return;
  legend(figure, having);
  const alike = new Map();  // names of groups by their phases
  for (const {name, phases} of having.filter(group => group.phases.length)) {
    const told = phases.map(([phase, start]) => `${phase} from epoch ${start}`).join(", ");
    alike.set(told, [...(alike.get(told) || []), name]);
  }
  find("p", figure).textContent = ["Means over seeds", ...(alike.size ? ["dotted lines: a phase begins"] : []),
    ...[...alike].map(([told, names]) => `${names.join(", ")}: ${told}`)].join("; ") + ".";
  const borders = having.flatMap(group => group.phases.filter(([, start]) => start > 0)
    .map(([name, x]) => ({slot: group.slot, x, name: `${group.name}: ${name} from epoch ${x}`})));
  holder.replaceChildren();
  for (const [key, title] of Object.entries(CURVES)) {
    const series = having.flatMap(group => group.curves[key] ? [{name: group.name, slot: group.slot, x: group.curves[key][0], y: group.curves[key][1]}] : []);
    if (!series.some(one => one.y.some(y => y !== 0))) continue;
    const space = node("div");
    holder.append(node("div", {}, node("h4", {}, title), space));
    chart(space, {series, title, xLabel: "epoch", borders});
  }
}

function matrixFigure(split, shown) {
  const figure = document.getElementById("confusion"), having = shown.filter(group => group.confusion);
  figure.hidden = having.length === 0;
  if (figure.hidden) return;
  find("p", figure).textContent = "A row is a true class, a column what it is taken for, both from most (top, left) to fewest training images; the stronger the colour, the more (its strength is the square root of the share). Point at or tap a cell for its share.";
  const colour = getComputedStyle(document.documentElement).getPropertyValue("--cell").split(",").map(Number);
  const names = split.bins, size = names.length;
  find(".matrices", figure).replaceChildren(...having.map(group => {
    const cells = Uint8Array.from(atob(group.confusion.cells), letter => letter.charCodeAt(0));
    const worst = group.confusion.worst.map(([is, taken, share]) => `${is} for ${taken} (${share} %)`).join(", ");
    const told = worst ? `Most often mistaken: ${worst}` : "Nothing is mistaken";
    const canvas = node("canvas", {width: size, height: size, role: "img", "aria-label": `Confusion matrix of ${group.name}. ${told}`});
    const context = canvas.getContext("2d"), image = context.createImageData(size, size);
    cells.forEach((cell, i) => image.data.set([...colour, Math.sqrt(255 * cell)], 4 * i));
    context.putImageData(image, 0, 0);
    const line = node("p", {}, told);
    const tell = event => {
      const bounds = canvas.getBoundingClientRect();
      const [row, column] = [event.clientY - bounds.top, event.clientX - bounds.left].map(at => Math.min(size - 1, Math.max(0, Math.floor(at / bounds.width * size))));
      line.textContent = `${names[row]} taken for ${names[column]}: ${(cells[row * size + column] / 2.55).toFixed(1)} %`;
    };
    canvas.addEventListener("pointermove", tell);
    canvas.addEventListener("pointerdown", tell);
    canvas.addEventListener("pointerleave", () => { line.textContent = told; });
    return node("div", {}, node("h4", {}, group.name), canvas, line);
  }));
}

// What is shown --------------------------------------------------------------------------------------------------

let split = data.splits[0], chosen = new Set();

function drawAll() {
  const shown = split.groups.filter(number => chosen.has(number)).map((number, slot) => ({...data.groups[number], slot}));
  const spread = split.classes.length <= 20;
  const span = `${Math.max(...split.counts)} to ${Math.min(...split.counts)}`;
  classFigure("recall", split, shown, `Test accuracy by class, mean over seeds${spread ? "; whiskers: standard error" : ""}. Grey bars: training images a class, on a logarithmic scale (${span}).`,
    {yLabel: "accuracy (%)", bars: split.counts, range: [0, 100], unit: " %"});
  const bases = [...new Set(shown.filter(group => group.difference).map(group => group.baseline))];
  classFigure("difference", split, shown, `Points to ${bases.join(", ")} on equal seeds${spread ? "; whiskers: 95 % confidence interval" : ""}. Above zero: better than the baseline.`,
    {yLabel: "points", rule: 0, signs: true});
  curveFigure(shown);
  matrixFigure(split, shown);
  classFigure("noise", split, shown, `Share of pure noise images that the trained network takes for each class. Line: all classes alike (${split.uniform} %).`,
    {yLabel: "share (%)", rule: split.uniform, unit: " %"});
}

function chooseSplit(number) {
  split = data.splits[number];
  chosen = new Set(split.shown);
  find("#methods").replaceChildren(...split.groups.map(place => {
    const box = node("input", {type: "checkbox", value: place});
    box.checked = chosen.has(place);
    return node("label", {}, box, " ", data.groups[place].name);
  }));
  drawAll();
}

find("#methods").addEventListener("change", event => {
  chosen[event.target.checked ? "add" : "delete"](+event.target.value);
  drawAll();
});
find("#split").append(...data.splits.map((one, number) => node("option", {value: number}, one.label)));
find("#split").addEventListener("change", event => chooseSplit(+event.target.value));
find("#split-choice").hidden = data.splits.length < 2;
find("#choice").hidden = false;
find("#choice").open = innerWidth >= 640;
for (const figure of document.querySelectorAll("figure")) figure.hidden = false;  // to have a width to be drawn in
chooseSplit(0);

let drawnAt = innerWidth;
addEventListener("resize", () => requestAnimationFrame(() => {
  if (innerWidth !== drawnAt) { drawnAt = innerWidth; drawAll(); }
}));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
