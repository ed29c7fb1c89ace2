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

function list(pairs) {
  return make("dl", {}, ...pairs.flatMap(([key, value]) => [make("dt", {}, key), make("dd", {}, value)]));
}

// --- quantities ---

const UNKNOWN = "-";
const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const counts = new Intl.NumberFormat("en"); // a count is written in full
const isKnown = (value) => value !== null && value !== undefined;

function bytes(value) {
  if (!isKnown(value)) return UNKNOWN;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  while (Math.abs(value) >= 1024 && step < units.length - 1) { value /= 1024; step += 1; }
  return `${number.format(value)} ${units[step]}`;
}

function seconds(value) {
  if (!isKnown(value)) return UNKNOWN;
  for (const [below, factor, unit] of [[1e-3, 1e6, "µs"], [1, 1e3, "ms"], [60, 1, "s"]])
    if (value < below) return `${number.format(value * factor)} ${unit}`;
  const whole = Math.round(value);
  for (const [size, unit, part, name] of [[86400, "d", 3600, "h"], [3600, "h", 60, "m"], [60, "m", 1, "s"]]) {
    const rest = Math.floor((whole % size) / part);
    if (whole >= size) return `${Math.floor(whole / size)}${unit}${rest ? ` ${rest}${name}` : ""}`;
  }
  return UNKNOWN;
}

const share = (value) => (isKnown(value) ? `${number.format(value * 100)} %` : UNKNOWN);
function plain(value) {
  if (!isKnown(value)) return UNKNOWN;
  if (typeof value !== "number") return String(value);
  return (Number.isInteger(value) ? counts : number).format(value);
}
const counted = (count, one, more) => `${counts.format(count)} ${count === 1 ? one : more}`;

function writerOf(name) {
  const found = [["_bytes", bytes], ["_seconds", seconds], ["_share", share]].find(([end]) => name.endsWith(end));
  return found ? found[1] : plain;
}

const words = (name) => name.replace(/_(bytes|seconds|share)$/, "").replaceAll("_", " ");
const instant = (ns) => new Date(ns / 1e6).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });
const clock = (ns, withDay) => new Date(ns / 1e6).toLocaleString([], withDay
  ? { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }
  : { hour: "2-digit", minute: "2-digit", second: "2-digit" });
function age(ns) {
  const passed = Math.max(0, (report.until_unix_ns - ns) / 1e9);
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]])
    if (passed >= size) return `${Math.floor(passed / size)}${unit} ago`;
  return "now";
}
const shortId = (id) => (/^([0-9a-f]{16}|[0-9a-f]{32})$/.test(id) ? id.slice(0, 8) : id);

// --- outcomes: by colour and by shape ---

const CIRCLE = "M-1,0a1,1 0 1,0 2,0a1,1 0 1,0 -2,0Z";
const SHAPES = {
  success: ["success", CIRCLE],
  running: ["running", CIRCLE],
  unknown: ["unknown", CIRCLE],
  cancelled: ["unknown", "M-1,-1H1V1H-1Z"],
  timeout: ["slow", "M0,-1.2L1.1,0.9H-1.1Z"],
  oom_killed: ["failed", "M-1,-1H1V1H-1Z"],
  killed: ["failed", "M0,-1.3L1.3,0L0,1.3L-1.3,0Z"],
  error: ["failed", "M-1,-0.5L-0.5,-1L0,-0.5L0.5,-1L1,-0.5L0.5,0L1,0.5L0.5,1L0,0.5L-0.5,1L-1,0.5L-0.5,0Z"],
};
const OTHER = ["failed", "M0,1.2L1.1,-0.9H-1.1Z"];
const outcomeOf = (one) => one.outcome || "running";
const outcomeWords = (outcome) => words(outcome);
const classOf = (outcome) => (SHAPES[outcome] || OTHER)[0];

function symbol(outcome, x, y, radius) {
  const [kind, path] = SHAPES[outcome] || OTHER;
  return draw("path", { class: `mark ${kind}`, d: path, transform: `translate(${x} ${y}) scale(${radius})` });
}

function badge(outcome) {
  const picture = draw("svg", { class: "badge", viewBox: "-1.5 -1.5 3 3", "aria-hidden": "true" }, symbol(outcome, 0, 0, 1));
  return make("span", { class: `outcome ${classOf(outcome)}` }, picture, outcomeWords(outcome));
}
