// --- curves against their limits ---

function curve(title, times, values, write, { style, limit, until }) {
  const largest = Math.max(...values, 0);
  const isNear = isKnown(limit) && limit <= largest * 4;
  const top = (isNear ? Math.max(limit, largest) : largest) || 1;
  const end = Math.max(times.at(-1), until || 0) || 1;
  const y = (value) => 76 - (68 * value) / top;
  const points = [[0, values[0]], ...values.map((value, i) => [times[i], value]), [end, values.at(-1)]];
  const path = points.map(([time, value], i) => `${i ? "L" : "M"}${(300 * time) / end},${y(value)}`).join("");
  const line = isNear ? draw("line", { class: "limit", x1: 0, x2: 300, y1: y(limit), y2: y(limit), "vector-effect": "non-scaling-stroke" }) : "";
  const told = `${title}: at most ${write(largest)}${isKnown(limit) ? ` of ${write(limit)}` : ""}`;
  return make("figure", {}, make("figcaption", {}, told), draw("svg", {
    class: "curve", viewBox: "0 0 300 80", preserveAspectRatio: "none", role: "img", "aria-label": `${told}, over ${seconds(end)}` },
    draw("path", { class: `area ${style}`, d: `${path}V76H0Z` }),
    draw("path", { class: `line ${style}`, d: path, "vector-effect": "non-scaling-stroke" }),
    line, draw("line", { class: "base", x1: 0, x2: 300, y1: 76, y2: 76 })),
    make("p", { class: "ends" }, make("span", {}, "0 s"), make("span", {}, isNear ? `limit ${write(limit)} (dashed)` : ""), make("span", {}, seconds(end))));
}

function curvesOf(line, limit) {
  const found = line.curve;
  if (!found || found.seconds.length < 2) return null;
  const until = line.duration_seconds;
  return make("div", { class: "curves" },
    curve("Memory", found.seconds, found.memory_bytes, bytes, { style: "memory", limit, until }),
    curve("CPU, cores", found.seconds, found.cores, plain, { style: "cpu", until }));
}

// --- before and now ---

function beforeNow(evidence) {
  const unit = ["seconds", "bytes", "share"].find((end) => isKnown(evidence[`before_${end}`]) && isKnown(evidence[`now_${end}`]));
  if (!unit) return null;
  const pairs = [["before", evidence[`before_${unit}`]], ["now", evidence[`now_${unit}`]]];
  const top = Math.max(...pairs.map(([, value]) => value)) || 1;
  return make("div", { class: "pair" }, ...pairs.flatMap(([label, value]) => [make("span", {}, label),
    draw("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
      draw("rect", { class: `bar ${label}`, width: Math.max(0.5, (100 * value) / top), height: 10 })),
    make("span", {}, writerOf(`_${unit}`)(value))]));
}

// --- strips: the values themselves, on one logarithmic scale for all names ---

const WIDTH = 600;
const TICKS = { durations: [1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1, 10, 60, 600, 3600, 36000, 360000, 3.6e6, 3.6e7],
  memory_peaks: Array.from({ length: 13 }, (_, i) => 16 ** i) };

function range(values, write) {
  const [least, middle, most] = [values[0], values[Math.floor(values.length / 2)], values.at(-1)].map(write);
  return least === most ? least : `${least} to ${most}, median ${middle}`;
}

function strips(title, field, write) {
  const groups = report.groups.filter((group) => group[field].some((value) => value > 0)).slice(0, 12);
  if (!groups.length) return null;
  const all = groups.flatMap((group) => group[field].filter((value) => value > 0));
  const least = Math.min(...all), most = Math.max(...all), ticks = TICKS[field];
  const first = Math.max(0, ticks.findLastIndex((tick) => tick <= least));
  const last = Math.max(first + 1, ticks.findIndex((tick) => tick >= most));
  const [low, high] = [Math.log(Math.min(ticks[first], least)), Math.log(Math.max(ticks[last], most))];
  const x = (value) => 8 + ((WIDTH - 16) * (Math.log(value) - low)) / (high - low);
  const step = Math.ceil((last - first) / 4);
  const shown = ticks.slice(first, last + 1).filter((_, i) => i % step === 0);
  const rules = () => shown.map((tick) => draw("line", { class: "rule", x1: x(tick), x2: x(tick), y1: 0, y2: 20 }));
  const rows = groups.map((group) => {
    const values = group[field].filter((value) => value > 0);
    const median = values[Math.floor(values.length / 2)];
    const told = range(values, write);
    const picture = draw("svg", { viewBox: `0 0 ${WIDTH} 20`, preserveAspectRatio: "none", role: "img", "aria-label": `${group.name}: ${told}` }, ...rules(),
      ...values.map((value, i) => draw("ellipse", { class: `dot ${field}`, cx: x(value), cy: 10 + ((i * 7) % 11) - 5, rx: 3, ry: 2.5 })),
      draw("line", { class: "median", x1: x(median), x2: x(median), y1: 2, y2: 18 }));
    return make("div", { class: "strip" }, make("span", { class: "what", title: group.name }, group.name), picture, make("span", { class: "soft" }, told));
  });
  const scale = make("div", { class: "scale" }, ...shown.map((tick) => {
    const label = make("span", {}, write(tick));
    label.style.left = `${(100 * x(tick)) / WIDTH}%`;
    return label;
  }));
  return make("div", { class: "card" }, make("h3", {}, title), ...rows, make("div", { class: "strip", "aria-hidden": "true" }, make("span", {}), scale, make("span", {})));
}

const drawn = [strips("Duration", "durations", seconds), strips("Memory peak", "memory_peaks", bytes)].filter(Boolean);
at("strips").append(...(drawn.length ? drawn : [make("p", { class: "empty" }, "Nothing has ended yet.")]));
