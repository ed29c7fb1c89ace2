"use strict";
const report = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

// --- making elements: text only ever becomes a text node ---

function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties || {})) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function draw(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// --- quantities ---

const UNKNOWN = "-";
const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });

function bytes(value) {
  if (value === null || value === undefined) return UNKNOWN;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  while (Math.abs(value) >= 1024 && step < units.length - 1) { value /= 1024; step += 1; }
  return `${value.toFixed(step ? 1 : 0)} ${units[step]}`;
}

function seconds(value) {
  if (value === null || value === undefined) return UNKNOWN;
  for (const [below, factor, unit] of [[1e-3, 1e6, "us"], [1, 1e3, "ms"], [120, 1, "s"], [7200, 1 / 60, "min"]])
    if (value < below) return `${number.format(value * factor)} ${unit}`;
  return `${(value / 3600).toFixed(1)} h`;
}

const share = (value) => (value === null ? UNKNOWN : `${number.format(value * 100)} %`);
const counts = new Intl.NumberFormat("en"); // a count is written in full
function plain(value) {
  if (value === null || value === undefined) return UNKNOWN;
  if (typeof value !== "number") return String(value);
  return (Number.isInteger(value) ? counts : number).format(value);
}

function quantity(name, value) {
  if (typeof value !== "number") return plain(value);
  const written = [["_bytes", bytes], ["_seconds", seconds], ["_share", share]].find(([end]) => name.endsWith(end));
  return (written ? written[1] : plain)(value);
}

const words = (name) => name.replace(/_(bytes|seconds|share)$/, "").replaceAll("_", " ");
const instant = (ns) => new Date(ns / 1e6).toLocaleString();
const looks = (outcome) => ({ null: "running", success: "success", unknown: "unknown" })[outcome] || "failed";
const successes = (outcomes, executions) => {
  const known = executions - (outcomes.unknown || 0);
  return known ? (outcomes.success || 0) / known : null;
};

// --- summary ---

at("period").textContent =
  `${instant(report.since_unix_ns)} to ${instant(report.until_unix_ns)}, from ${report.journal}`;
const succeeded = successes(report.outcomes, report.executions);
for (const [name, value] of [
  ["executions", plain(report.executions)],
  ["succeeded", share(succeeded)],
  ["running", plain(report.running)],
  ["in the period before", plain(report.before)],
  ["findings", plain(report.findings.length + report.caches.length)],
  ["records not readable", plain(report.unreadable)],
]) at("tiles").append(make("div", {}, make("dt", {}, name), make("dd", {}, value)));

// --- findings ---

function link(id) {
  const known = report.recent.some((line) => line.execution_id === id);
  return known ? make("button", { type: "button", class: "link", onclick: () => show(id) }, id) : make("code", {}, id);
}

function list(pairs) {
  return make("dl", {}, ...pairs.flatMap(([key, value]) => [make("dt", {}, key), make("dd", {}, value)]));
}

function finding(one) {
  const recommended = Object.entries(one.recommended);
  return make("details", { class: one.severity },
    make("summary", {}, make("span", { class: "tag" }, one.severity),
      make("strong", {}, one.name), ` ${words(one.rule)}: ${one.message}`),
    make("p", {}, `What to do: ${one.advice}.`),
    recommended.length ? make("p", {}, "A limit that would fit: ",
      recommended.map(([key, value]) => `${words(key)} ${quantity(key, value)}`).join(", ")) : null,
    make("div", { class: "detail" }, list(Object.entries(one.evidence).map(([k, v]) => [words(k), quantity(k, v)]))),
    one.executions.length ? make("p", {}, "Executions: ", ...one.executions.flatMap((id) => [link(id), " "])) : null);
}

function cache(one) {
  return make("details", { class: "low" },
    make("summary", {}, make("span", { class: "tag" }, "cache"),
      make("strong", {}, one.name), ` of process ${one.pid ?? UNKNOWN} ${one.message}`),
    make("p", {}, `What to do: ${one.advice}.`),
    make("div", { class: "detail" }, list(Object.entries(one.evidence).map(([k, v]) => [words(k), quantity(k, v)]))));
}

const found = [...report.findings.map(finding), ...report.caches.map(cache)];
at("findings").append(...(found.length ? found
  : [make("p", { class: "empty" }, "Nothing was found that is worth a change.")]));

// --- what ran ---

const part = (figure, name) => (group) => (group[figure] ? group[figure][name] : null);
const columns = [
  ["name", (group) => group.name, plain],
  ["kind", (group) => group.kind, plain],
  ["executions", (group) => group.executions, plain],
  ["succeeded", (group) => successes(group.outcomes, group.executions), share],
  ["median", part("duration_seconds", "p50"), seconds],
  ["p90", part("duration_seconds", "p90"), seconds],
  ["p99", part("duration_seconds", "p99"), seconds],
  ["CPU median", part("cpu_seconds", "p50"), seconds],
  ["memory p99", part("peak_memory_bytes", "p99"), bytes],
];
let order = { column: -1, up: false };

function compare(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);
  return typeof a === "string" ? a.localeCompare(b) : a - b;
}

function sortBy(index) {
  order = { column: index, up: order.column === index ? !order.up : index < 2 };
  drawGroups();
  at("groups").querySelectorAll("th button")[index].focus();
}

function drawGroups() {
  const rows = [...report.groups];
  if (order.column >= 0) {
    const read = columns[order.column][1];
    rows.sort((a, b) => (order.up ? 1 : -1) * compare(read(a), read(b)));
  }
  const sorted = (i) => (i !== order.column ? "none" : order.up ? "ascending" : "descending");
  at("groups").replaceChildren(
    make("thead", {}, make("tr", {}, ...columns.map(([name], i) => make("th", { scope: "col", "aria-sort": sorted(i) },
      make("button", { type: "button", onclick: () => sortBy(i) }, name))))),
    make("tbody", {}, ...rows.map((group) => make("tr", {},
      ...columns.map(([, read, write]) => make("td", {}, write(read(group))))))));
}
drawGroups();

// --- pictures ---

function histogram(title, figure, write, style) {
  const { boundaries, counts } = figure;
  const first = Math.max(0, counts.findIndex((count) => count > 0));
  const last = counts.length - [...counts].reverse().findIndex((count) => count > 0);
  const shown = counts.slice(first, last);
  const top = Math.max(...shown, 1), width = 300 / shown.length;
  const bars = shown.map((count, i) => draw("rect", { class: `bar ${style}`, x: i * width + 1, width: width - 2,
    y: 80 - 70 * count / top, height: 70 * count / top }, draw("title", {},
    document.createTextNode(`up to ${first + i < boundaries.length ? write(boundaries[first + i]) : "more"}: ${count}`))));
  const low = first ? write(boundaries[first - 1]) : "0";
  const high = last - 1 < boundaries.length ? write(boundaries[last - 1]) : `more than ${write(boundaries.at(-1))}`;
  return make("figure", { class: "card" }, make("figcaption", {}, title), draw("svg", {
    viewBox: "0 0 300 96", preserveAspectRatio: "none", role: "img", "aria-label": `${title}, from ${low} to ${high}` },
    draw("line", { class: "base", x1: 0, x2: 300, y1: 80, y2: 80 }), ...bars),
    make("p", { class: "soft" }, `${low} to ${high}`));
}

const total = (figure) => figure.counts.reduce((sum, count) => sum + count, 0);
for (const group of report.groups.slice(0, 12)) {
  at("distributions").append(histogram(`${group.name}: duration`, group.durations, seconds, ""));
  if (total(group.memory_peaks))
    at("distributions").append(histogram(`${group.name}: memory peak`, group.memory_peaks, bytes, "memory"));
}
if (!report.groups.length) at("distributions").append(make("p", { class: "empty" }, "Nothing has run."));

function curve(title, times, values, write, style) {
  const top = Math.max(...values, 0) || 1, end = times.at(-1) || 1;
  const points = values.map((value, i) => `${(300 * times[i]) / end},${80 - (70 * value) / top}`).join(" ");
  return make("figure", { class: "card" }, make("figcaption", {}, `${title}, at most ${write(top)}`), draw("svg", {
    viewBox: "0 0 300 84", preserveAspectRatio: "none", role: "img", "aria-label": `${title} over ${seconds(end)}` },
    draw("line", { class: "base", x1: 0, x2: 300, y1: 80, y2: 80 }),
    draw("polyline", { class: style, points, "stroke-width": 2, "vector-effect": "non-scaling-stroke" })),
    make("p", { class: "soft" }, `0 to ${seconds(end)}`));
}

// --- waterfall ---

const rows = new Map();
const begins = report.recent.map((line) => line.started_unix_ns / 1e9);
const until = report.until_unix_ns / 1e9;
const ends = report.recent.map((line, i) => (line.duration_seconds === null ? until : begins[i] + line.duration_seconds));
const whole = [Math.min(...begins), Math.max(...ends)];
let view = whole, current = 0;

function detail(line) {
  const facts = [["outcome", line.outcome || "running"], ["started", instant(line.started_unix_ns)],
    ["duration", seconds(line.duration_seconds)], ["CPU time", seconds(line.cpu_seconds)],
    ["memory peak", bytes(line.peak_memory_bytes)], ["id", line.execution_id], ["trace", line.trace_id]];
  const shown = line.curve && line.curve.seconds.length > 1 ? make("div", { class: "curves" },
    curve("CPU, cores", line.curve.seconds, line.curve.cores, plain, "cpu"),
    curve("Memory", line.curve.seconds, line.curve.memory_bytes, bytes, "memory"))
    : make("p", { class: "empty" }, "It was too short for a curve.");
  return make("div", { class: "detail" }, list(facts), shown);
}

function toggle(button, item, line) {
  const open = item.querySelector(".detail");
  if (open) open.remove();
  else item.append(detail(line));
  button.setAttribute("aria-expanded", String(!open));
}

function depthOf(line) {
  let depth = 0;
  const seen = new Set();
  while (line && line.parent_span_id && bySpan.has(line.parent_span_id) && !seen.has(line.span_id)) {
    seen.add(line.span_id);
    line = bySpan.get(line.parent_span_id);
    depth += 1;
  }
  return Math.min(depth, 8);
}

const bySpan = new Map(report.recent.map((line) => [line.span_id, line]));
report.recent.forEach((line, index) => {
  const bar = draw("rect", { class: looks(line.outcome), y: 3, height: 12, rx: 2 });
  const button = make("button", { type: "button", class: "row", "aria-expanded": "false",
    tabindex: index ? "-1" : "0", onclick: () => { move(index); toggle(button, item, line); } },
    make("span", { class: "what" }, make("span", {}, "· ".repeat(depthOf(line)) + line.name),
      make("span", { class: looks(line.outcome) }, `${line.outcome || "running"} ${seconds(line.duration_seconds)}`)),
    draw("svg", { viewBox: "0 0 1000 18", preserveAspectRatio: "none", "aria-hidden": "true" },
      draw("rect", { class: "track", width: 1000, y: 8, height: 2 }), bar));
  const item = make("li", {}, button);
  rows.set(line.execution_id, { line, index, item, button, bar });
  at("waterfall").append(item);
});
const visible = () => [...rows.values()].filter((row) => !row.item.hidden);

function place() {
  const [from, to] = view, length = to - from || 1;
  for (const { index, bar } of rows.values()) {
    const left = Math.max(0, (begins[index] - from) / length), right = Math.min(1, (ends[index] - from) / length);
    const seen = right >= 0 && left <= 1;
    bar.setAttribute("x", seen ? 1000 * Math.min(left, 0.997) : 0);
    bar.setAttribute("width", seen ? Math.max(3, 1000 * (right - left)) : 0);
  }
  const [first, last] = at("axis").children;
  if (rows.size) [first.textContent, last.textContent] = [instant(from * 1e9), instant(to * 1e9)];
}

function zoom(factor) {
  if (!rows.size) return;
  const middle = (begins[current] + Math.min(ends[current], whole[1])) / 2;
  const length = Math.max((view[1] - view[0]) * factor, 1e-3);
  view = length >= whole[1] - whole[0] ? whole : [middle - length / 2, middle + length / 2];
  place();
}

function move(index) {
  for (const row of rows.values()) row.button.tabIndex = row.index === index ? 0 : -1;
  current = index;
}

function step(by) {
  const shown = visible();
  if (!shown.length) return;
  const now = Math.max(0, shown.findIndex((row) => row.index === current));
  const next = shown[Math.min(shown.length - 1, Math.max(0, now + by))];
  move(next.index);
  next.button.focus();
}

function show(id) {
  const row = rows.get(id);
  at("filter").value = "";
  narrow();
  if (!row.item.querySelector(".detail")) toggle(row.button, row.item, row.line);
  move(row.index);
  row.button.focus();
}

function narrow() {
  const wanted = at("filter").value.toLowerCase();
  for (const { line, item } of rows.values())
    item.hidden = ![line.name, line.outcome || "running", line.execution_id].some((text) => text.toLowerCase().includes(wanted));
  const shown = visible();
  if (shown.length && !shown.some((row) => row.index === current)) move(shown[0].index);
}

const KEYS = { ArrowDown: () => step(1), ArrowUp: () => step(-1), Home: () => step(-1e9), End: () => step(1e9),
  "+": () => zoom(1 / 3), "-": () => zoom(3) };
at("waterfall").addEventListener("keydown", (event) => {
  if (!KEYS[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  KEYS[event.key]();
});
at("filter").addEventListener("input", narrow);
at("zoom-in").addEventListener("click", KEYS["+"]);
at("zoom-out").addEventListener("click", KEYS["-"]);
at("waterfall-note").textContent = rows.size
  ? `The newest ${rows.size} of ${report.executions + report.running}. Arrow keys move, Enter opens, + and - zoom.`
  : "Nothing has run.";
place();

// --- largest ---

for (const [title, lines, figure, write] of [
  ["Longest", report.slowest, "duration_seconds", seconds],
  ["Most CPU time", report.greediest_cpu, "cpu_seconds", seconds],
  ["Most memory", report.greediest_memory, "peak_memory_bytes", bytes],
]) at("largest").append(make("div", { class: "card" }, make("h3", {}, title), lines.length
  ? make("ol", {}, ...lines.map((line) => make("li", {}, `${line.name}: ${write(line[figure])} `, link(line.execution_id))))
  : make("p", { class: "empty" }, "Not known of any.")));
document.documentElement.dataset.ready = "yes";
