
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
  if (header && table.closest("details")) table.closest("details").open = true;
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

// A shadow at an edge that hides columns.
function shade(scroll) {
  const frame = scroll.parentNode, rest = scroll.scrollWidth - scroll.clientWidth - scroll.scrollLeft;
  frame.style.setProperty("--stuck", `${find("th", scroll).offsetWidth}px`);
  frame.classList.toggle("more-right", rest > 1);
  frame.classList.toggle("more-left", scroll.scrollLeft > 1);
}
const shadeAll = () => document.querySelectorAll(".scroll").forEach(shade);
for (const scroll of document.querySelectorAll(".scroll")) scroll.addEventListener("scroll", () => shade(scroll), {passive: true});
shadeAll();
addEventListener("toggle", shadeAll, true);  // what was closed had no width

// Charts ---------------------------------------------------------------------------------------------------------

const MARKS = ["M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z", "M-3-3h6v6h-6z", "M0-4l4 4-4 4-4-4z", "M0-4l4 7h-8z", "M0 4l4-7h-8z"];
const style = slot => `s${slot % 8}`;
const dash = slot => ` d${slot % 5}`;  // with the colors, forty lines that differ; gaps show a line below that coincides
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

// series: {name, slot, x, y, half}, lines or columns; labels: names of whole x; bars: amounts at whole x behind all;
// borders: {x, label, name}
function chart(holder, {series, labels, yLabel = "", title = yLabel, xLabel, bars, rule, borders = [], unit = "", signs = false, range, columns = false}) {
  const width = Math.max(260, holder.clientWidth), height = width < 520 ? 250 : 300;
  const longest = labels ? Math.min(12, Math.max(...labels.map(label => label.length))) : 0;
  const slanted = longest > 3;
  const box = {left: yLabel ? 50 : 38, right: width - 10, top: borders.length ? 24 : 10, bottom: height - (slanted ? 38 + longest * 4 : 40)};
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
  if (rule !== undefined && !columns) svg.append(node("line", {class: "rule", x1: box.left, x2: box.right, y1: toY(rule), y2: toY(rule)}));
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
  const begin = borders.filter(({x}) => x <= last);
  for (const {x, label, name} of begin) {
    const at = toX(x), space = 6.5 * label.length, left = at + 8 + space > box.right ? at - 8 - space : at + 8;
    svg.append(node("line", {class: "border", x1: at, x2: at, y1: box.top, y2: box.bottom}, node("title", {}, name)),
      node("path", {class: "flag", d: "M-5-7h10L0 0z", transform: `translate(${at} ${box.top})`}, node("title", {}, name)));
    const covers = begin.some(other => other.x !== x && toX(other.x) > left - 20 && toX(other.x) < left + space + 8);
    if (covers || left < box.left) continue;  // names of phases stand above the frame, where there is room
    svg.append(node("text", left > at ? {x: at + 8, y: box.top - 10} : {x: at - 8, y: box.top - 10, "text-anchor": "end"}, label));
  }
  for (const [number, one] of series.entries()) {
    const shift = few ? (number - (series.length - 1) / 2) * Math.min(4, 30 / series.length) : 0;
    const places = one.x.flatMap((x, i) => one.y[i] === null ? [] : [[toX(x) + shift, toY(one.y[i]), i]]);
    if (columns) {
      const step = (toX(1) - toX(0)) * 0.8 / series.length, left = (number - series.length / 2) * step;
      for (const [i, y] of one.y.entries()) {
        if (y === null) continue;
        const told = node("title", {}, `${one.name}, ${labels[i]}: ${y}${unit}`);
        svg.append(node("rect", {class: `column ${style(one.slot)}`, x: toX(i) + left, y: toY(y), width: Math.max(0.5, step * 0.9), height: box.bottom - toY(y)}, told));
      }
      continue;
    }
    const path = places.map(([x, y, i], k) => `${k && places[k - 1][2] === i - 1 ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
    svg.append(node("path", {class: `line ${style(one.slot)}${dash(one.slot)}`, d: path}));
    if (!labels) {  // a few marks a line, each line's at places of its own
      const stride = Math.max(series.length, Math.round(places.length / 6)), first = Math.floor(stride * number / series.length);
      for (let k = first; k < places.length; k += stride) svg.append(mark(one.slot, places[k][0], places[k][1]));
      continue;
    }
    for (const [x, y, i] of places) {
      const size = half(one, i);
      if (size) svg.append(node("line", {class: `whisker ${style(one.slot)}`, x1: x, x2: x, y1: toY(Math.max(low, one.y[i] - size)), y2: toY(Math.min(high, one.y[i] + size))}));
      const point = mark(one.slot, x, y);
      point.append(node("title", {}, `${one.name}, ${labels[i]}: ${signs ? signed(one.y[i]) : one.y[i]}${one.half?.[i] ? ` ± ${one.half[i]}` : ""}${unit}`));
      svg.append(point);
    }
  }
  if (columns && rule !== undefined) svg.append(node("line", {class: "rule", x1: box.left, x2: box.right, y1: toY(rule), y2: toY(rule)}));
  holder.replaceChildren(svg);
}

function legend(figure, shown, columns = false) {
  find(".legend", figure).replaceChildren(...shown.map(({name, slot}) => {
    const drawn = columns ? [node("rect", {class: `column ${style(slot)}`, x: 8, y: 1, width: 10, height: 12})]
      : [node("path", {class: `line ${style(slot)}${dash(slot)}`, d: "M0 7H34"}), mark(slot, 17, 7)];
    const width = columns ? 26 : 34;
    const swatch = node("svg", {width, height: 14, viewBox: `0 0 ${width} 14`, "aria-hidden": "true"}, ...drawn);
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

// What a mark says of phases that begin together: their name, or that they do.
const common = names => names.every(name => name === names[0]) ? names[0] : "next phase";

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
  find("p", figure).textContent = ["Means over seeds", ...(alike.size ? ["a dotted line with a flag: a phase begins"] : []),
    ...[...alike].map(([told, names]) => `${names.join(", ")}: ${told}`)].join("; ") + ".";
  const begun = new Map();  // what begins, by epoch
  for (const {name, phases} of having) {
    for (const [phase, start] of phases.filter(([, start]) => start > 0)) begun.set(start, [...(begun.get(start) || []), [name, phase]]);
  }
  const borders = [...begun].sort(([x], [other]) => x - other).map(([x, found]) => ({x, label: shorten(common(found.map(([, phase]) => phase)), 24),
    name: `from epoch ${x}: ${found.map(([name, phase]) => `${name}: ${phase}`).join(", ")}`}));
  holder.replaceChildren();
  for (const [key, title] of Object.entries(CURVES)) {
    const series = having.flatMap(group => group.curves[key] ? [{name: group.name, slot: group.slot, x: group.curves[key][0], y: group.curves[key][1]}] : []);
    if (!series.some(one => one.y.some(y => y !== 0))) continue;
    const space = node("div");
    holder.append(node("div", {}, node("h4", {}, title), space));
    chart(space, {series, title, xLabel: "epoch", borders});
  }
}

// A matrix between its axes; these name the classes where there is room.
function withAxes(canvas, names) {
  const few = names.length <= 20, long = Math.max(...names.map(name => name.length)) > 2;
  const ticks = most => few ? names.map(name => node("span", {title: name}, shorten(name, most))) : [];
  return node("div", {class: `matrix${names.length > 12 ? " crowded" : ""}`, "aria-hidden": "true"},
    node("span", {class: "axis up"}, "true class"), node("div", {class: "rows"}, ...ticks(12)), canvas,
    node("span"), node("span"), node("div", {class: `columns${long ? " upright" : ""}`}, ...ticks(12)),
    node("span"), node("span"), node("span", {class: "axis"}, "taken for"));
}

function matrixFigure(split, shown) {
  const figure = document.getElementById("confusion"), having = shown.filter(group => group.confusion);
  figure.hidden = having.length === 0;
  if (figure.hidden) return;
  find("p", figure).textContent = "A row is a true class, a column what it is taken for, both from most (top, left) to fewest training images; the stronger the color, the more (its strength is the square root of the share). Point at or tap a cell for its share.";
  const color = getComputedStyle(document.documentElement).getPropertyValue("--cell").split(",").map(Number);
  const names = split.bins, size = names.length;
  find(".matrices", figure).replaceChildren(...having.map(group => {
    const cells = Uint8Array.from(atob(group.confusion.cells), letter => letter.charCodeAt(0));
    const worst = group.confusion.worst.map(([is, taken, share]) => `${is} for ${taken} (${share} %)`).join(", ");
    const told = worst ? `Most often mistaken: ${worst}` : "Nothing is mistaken";
    const canvas = node("canvas", {width: size, height: size, role: "img", "aria-label": `Confusion matrix of ${group.name}. ${told}`});
    const context = canvas.getContext("2d"), image = context.createImageData(size, size);
    cells.forEach((cell, i) => image.data.set([...color, Math.sqrt(255 * cell)], 4 * i));
    context.putImageData(image, 0, 0);
    const line = node("p", {}, told);
    const matrix = withAxes(canvas, names);
    const tell = event => {
      const bounds = canvas.getBoundingClientRect();
      const [row, column] = [event.clientY - bounds.top, event.clientX - bounds.left].map(at => Math.min(size - 1, Math.max(0, Math.floor(at / bounds.width * size))));
      line.textContent = `${names[row]} taken for ${names[column]}: ${(cells[row * size + column] / 2.55).toFixed(1)} %`;
    };
    canvas.addEventListener("pointermove", tell);
    canvas.addEventListener("pointerdown", tell);
    canvas.addEventListener("pointerleave", () => { line.textContent = told; });
    return node("div", {}, node("h4", {}, group.name), matrix, line);
  }));
}

// Columns side by side, or where these were too thin a chart a group.
function noiseFigure(split, shown) {
  const figure = document.getElementById("noise"), holder = find(".charts", figure), having = shown.filter(group => group.noise);
  figure.hidden = having.length === 0;
  if (figure.hidden) return;
  const together = split.classes.length <= 20;
  find("p", figure).textContent = `Share of pure noise images that the trained network takes for each class, mean over seeds. Line: all classes alike (${split.uniform} %).`;
  legend(figure, having, true);
  holder.classList.toggle("whole", together);
  holder.replaceChildren();
  const highest = 1.06 * Math.max(split.uniform, ...having.flatMap(group => group.noise));
  const series = having.map(group => ({name: group.name, slot: group.slot, x: split.classes.map((_, i) => i), y: group.noise}));
  for (const members of together ? [series] : series.map(one => [one])) {
    const space = node("div");
    holder.append(node("div", {}, ...(together ? [] : [node("h4", {}, members[0].name)]), space));
    chart(space, {series: members, labels: split.classes, columns: true, rule: split.uniform, range: [0, highest],
      yLabel: "share (%)", title: "share of noise", xLabel: "class, most to fewest training images", unit: " %"});
  }
}

// What is shown --------------------------------------------------------------------------------------------------

let split = data.splits[0], chosen = new Set();

function drawAll() {
  const shown = split.groups.filter(number => chosen.has(number)).map((number, slot) => ({...data.groups[number], slot}));
  const spread = split.classes.length <= 20;
  const span = `${Math.max(...split.counts)} to ${Math.min(...split.counts)}`;
  classFigure("recall", split, shown, `Test accuracy by class, mean over seeds${spread ? "; whiskers: standard error" : ""}. Gray bars: training images of each class, on a logarithmic scale (${span}).`,
    {yLabel: "accuracy (%)", bars: split.counts, range: [0, 100], unit: " %"});
  const bases = [...new Set(shown.filter(group => group.difference).map(group => group.baseline))];
  classFigure("difference", split, shown, `Points to ${bases.join(", ")} on equal seeds${spread ? "; whiskers: 95 % confidence interval" : ""}. Above zero: better than the baseline.`,
    {yLabel: "points", rule: 0, signs: true});
  curveFigure(shown);
  matrixFigure(split, shown);
  noiseFigure(split, shown);
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
  if (innerWidth !== drawnAt) { drawnAt = innerWidth; shadeAll(); drawAll(); }
}));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
