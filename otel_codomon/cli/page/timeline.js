// --- the timeline: a lane for each name, a mark for each execution ---

const LANE = 34, TOP = 6, BOTTOM = 22;
const named = new Map();
for (const mark of report.marks) {
  if (!named.has(mark.name)) named.set(mark.name, []);
  named.get(mark.name).push(mark);
}
const problemNames = report.problems.map((one) => one.name);
const others = report.other_names;
const rank = (name) => (name === others ? 1e9 : problemNames.includes(name) ? problemNames.indexOf(name) : 1e6);
const lanes = [...named.keys()].sort((a, b) => rank(a) - rank(b) || named.get(b).length - named.get(a).length);
const whole = [report.since_unix_ns, report.until_unix_ns];
const largest = Math.max(...report.marks.map((mark) => mark.peak_memory_bytes || 0), 1);
const radius = (mark) => (mark.peak_memory_bytes ? 3.5 + 6 * Math.sqrt(mark.peak_memory_bytes / largest) : 3.5);
let view = whole, width = 0, current = report.marks.length ? [0, named.get(lanes[0]).length - 1] : null;
const toX = (ns) => (width * (ns - view[0])) / (view[1] - view[0]);
const toTime = (x) => view[0] + ((view[1] - view[0]) * x) / width;
const isIn = (mark) => mark.started_unix_ns >= view[0] && mark.started_unix_ns <= view[1];

function told(mark) {
  const when = `${mark.name}, ${instant(mark.started_unix_ns)}`;
  const memory = mark.peak_memory_bytes ? `, ${bytes(mark.peak_memory_bytes)}` : "";
  if (mark.executions > 1) return `${when}: ${counts.format(mark.executions)} executions, ${counts.format(mark.failures)} failed${memory}`;
  return `${when}: ${outcomeWords(outcomeOf(mark))}, ${seconds(mark.duration_seconds)}${memory}`;
}

function ticks() {
  const length = view[1] - view[0], count = Math.max(2, Math.min(6, Math.floor(width / 130)));
  const withDay = length > 36e11;
  return Array.from({ length: count }, (_, i) => {
    const ns = view[0] + (length * (i + 0.5)) / count, x = toX(ns);
    return draw("g", {}, draw("line", { class: "rule", x1: x, x2: x, y1: TOP, y2: TOP + lanes.length * LANE }),
      draw("text", { x, y: TOP + lanes.length * LANE + 15, "text-anchor": "middle" }, clock(ns, withDay)));
  });
}

function lane(name, index) {
  const y = TOP + index * LANE, room = Math.max(8, Math.floor(width / 8));
  const marks = named.get(name).map((mark, at) => [mark, at]).filter(([mark]) => isIn(mark));
  const drawn = marks.map(([mark, at]) => {
    const one = symbol(outcomeOf(mark), toX(mark.started_unix_ns), y + 22, radius(mark));
    one.dataset.lane = index;
    one.dataset.at = at;
    one.append(draw("title", {}, told(mark)));
    return one;
  });
  // Failures are drawn last, so that none is hidden.
  drawn.sort((a, b) => a.classList.contains("failed") - b.classList.contains("failed"));
  const label = name.length > room ? `${name.slice(0, room - 1)}…` : name;
  return draw("g", {}, draw("line", { class: "base", x1: 0, x2: width, y1: y + 22, y2: y + 22 }), ...drawn,
    draw("text", { class: "name", x: 2, y: y + 9 }, label));
}

const brush = draw("rect", { class: "brush", y: TOP, height: 0 });
const picture = draw("svg", { tabindex: 0, role: "application", "aria-roledescription": "timeline", "aria-describedby": "timeline-note" });

function paint() {
  width = Math.max(200, at("timeline").clientWidth);
  const height = TOP + lanes.length * LANE + BOTTOM;
  brush.setAttribute("height", lanes.length * LANE);
  brush.setAttribute("width", 0);
  picture.setAttribute("width", width);
  picture.setAttribute("height", height);
  picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
  picture.replaceChildren(...ticks(), ...lanes.map(lane), brush);
  mark();
}

function mark() {
  picture.querySelector(".cursor")?.remove();
  if (!current) return;
  const [index, at] = current, one = named.get(lanes[index])[at];
  picture.setAttribute("aria-label", `Timeline of executions. ${told(one)}`);
  if (isIn(one)) picture.append(draw("circle", { class: "cursor", cx: toX(one.started_unix_ns), cy: TOP + index * LANE + 22, r: radius(one) + 4 }));
}

function look(from, to) {
  const length = Math.min(whole[1] - whole[0], Math.max(to - from, 1e6));
  const start = Math.min(Math.max(from, whole[0]), whole[1] - length);
  view = [start, start + length];
  paint();
}

function zoom(factor) {
  const length = view[1] - view[0], chosen = current && named.get(lanes[current[0]])[current[1]].started_unix_ns;
  const middle = chosen && chosen >= view[0] && chosen <= view[1] ? chosen : view[0] + length / 2;
  look(middle - (length * factor) / 2, middle + (length * factor) / 2);
}

function shift(share) {
  const by = (view[1] - view[0]) * share;
  look(view[0] + by, view[1] + by);
}

function move(sideways, down) {
  if (!current) return;
  const [index, at] = current, from = named.get(lanes[index])[at].started_unix_ns;
  const next = Math.min(lanes.length - 1, Math.max(0, index + down)), marks = named.get(lanes[next]);
  const nearest = () => marks.reduce((best, one, i) => (Math.abs(one.started_unix_ns - from) < Math.abs(marks[best].started_unix_ns - from) ? i : best), 0);
  current = [next, down ? nearest() : Math.min(marks.length - 1, Math.max(0, at + sideways))];
  const { started_unix_ns: started } = marks[current[1]];
  if (started < view[0] || started > view[1]) look(started - (view[1] - view[0]) / 2, started + (view[1] - view[0]) / 2);
  else mark();
}

// --- one execution, opened in place ---

let cameFrom = null;
function open(id) {
  const line = lines.get(id) || report.marks.find((one) => one.execution_id === id);
  if (!line) return;
  cameFrom = document.activeElement;
  const limit = limits.get(id), close = make("button", { type: "button", onclick: shut }, "Close");
  const facts = [["outcome", badge(outcomeOf(line))], ["started", `${instant(line.started_unix_ns)}, ${age(line.started_unix_ns)}`],
    ["duration", seconds(line.duration_seconds)], ["CPU time", seconds(line.cpu_seconds)],
    ["memory peak", bytes(line.peak_memory_bytes) + (limit ? ` of ${bytes(limit)} (${share(line.peak_memory_bytes / limit)})` : "")],
    ["id", line.execution_id], ...(line.trace_id ? [["trace", line.trace_id]] : [])];
  const several = line.executions > 1 ? make("p", { class: "soft" }, `One of ${counts.format(line.executions)} that began close together.`) : null;
  at("opened").replaceChildren(make("article", { class: "card", tabindex: "-1", "aria-label": `Execution ${line.name}` },
    make("h3", {}, `${line.name}: ${line.cause || outcomeWords(outcomeOf(line))}`), several, list(facts),
    curvesOf(line, limit), step(`otel-codomon show ${shortId(line.execution_id)}`), close));
  at("opened").firstChild.focus();
  at("opened").scrollIntoView({ block: "nearest" });
}

function shut() {
  if (!at("opened").firstChild) return;
  at("opened").replaceChildren();
  cameFrom?.focus();
}

// --- keys and pointer ---

const KEYS = { ArrowRight: () => move(1, 0), ArrowLeft: () => move(-1, 0), ArrowDown: () => move(0, 1), ArrowUp: () => move(0, -1),
  Home: () => move(-1e9, 0), End: () => move(1e9, 0), "+": () => zoom(1 / 2), "-": () => zoom(2), 0: () => look(...whole),
  Enter: () => current && open(named.get(lanes[current[0]])[current[1]].execution_id) };
picture.addEventListener("keydown", (event) => {
  if (!KEYS[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  KEYS[event.key]();
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") shut(); });

let began = null;
const pointed = (event) => Math.min(width, Math.max(0, event.clientX - picture.getBoundingClientRect().left));
picture.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  began = pointed(event);
  const { lane, at } = event.target.dataset;
  if (lane) current = [Number(lane), Number(at)];
});
addEventListener("pointermove", (event) => {
  if (began === null) return;
  const x = pointed(event);
  brush.setAttribute("x", Math.min(began, x));
  brush.setAttribute("width", Math.abs(x - began));
});
addEventListener("pointerup", (event) => {
  if (began === null) return;
  const from = Math.min(began, pointed(event)), to = Math.max(began, pointed(event));
  const { lane } = event.target.dataset || {};
  began = null;
  if (to - from > 8) look(toTime(from), toTime(to));
  else { paint(); if (lane) KEYS.Enter(); }
});
addEventListener("pointercancel", () => { began = null; paint(); });
for (const [id, act] of [["zoom-in", () => zoom(1 / 2)], ["zoom-out", () => zoom(2)], ["earlier", () => shift(-0.5)], ["later", () => shift(0.5)], ["whole", () => look(...whole)]])
  at(id).addEventListener("click", act);

const seen = [...new Set(report.marks.map(outcomeOf))];
at("legend").append(...seen.map((outcome) => make("li", {}, badge(outcome))));
const several = report.marks.filter((one) => one.executions > 1).length;
at("timeline-note").textContent = !report.marks.length ? "Nothing has run."
  : `A larger mark used more memory. ${several ? "A mark stands for all executions of a name that began close together, and shows a failure if there was one. " : ""}`
    + "Drag to zoom, or use the keys: arrows move, Enter opens, Esc closes, + and - zoom, 0 shows the whole period.";
if (report.marks.length) {
  at("timeline").append(picture);
  new ResizeObserver(paint).observe(at("timeline"));
  addEventListener("beforeprint", paint);
  paint();
}
document.documentElement.dataset.ready = "yes";
