// --- tables that can be sorted ---

function compare(a, b) {
  if (!isKnown(a) || !isKnown(b)) return 0;
  return typeof a === "string" ? a.localeCompare(b) : a - b;
}

// Columns: title, what is read of a row, how it is written (a text or an element), whether it is a text.
function table(element, columns, rows, order) {
  function ordered() {
    const [, read] = columns[order.column] || [];
    if (!read) return rows;
    const known = rows.filter((row) => isKnown(read(row))), rest = rows.filter((row) => !isKnown(read(row)));
    return [...known.sort((a, b) => (order.up ? 1 : -1) * compare(read(a), read(b))), ...rest];
  }
  function sortBy(column) {
    order = { column, up: order.column === column ? !order.up : Boolean(columns[column][3]) };
    fill();
    element.querySelectorAll("th button")[column].focus();
  }
  function fill() {
    const sorted = (i) => (i !== order.column ? "none" : order.up ? "ascending" : "descending");
    element.replaceChildren(
      make("thead", {}, make("tr", {}, ...columns.map(([title, , , isText], i) =>
        make("th", { scope: "col", "aria-sort": sorted(i), class: isText ? "text" : "" },
          make("button", { type: "button", onclick: () => sortBy(i) }, title))))),
      make("tbody", {}, ...ordered().map((row) => make("tr", { "data-text": row.searched || "" },
        ...columns.map(([, read, write, isText]) => make("td", { class: isText ? "text" : "" }, write(read(row), row)))))));
  }
  fill();
  return fill;
}

const part = (figure, name) => (group) => (group[figure] ? group[figure][name] : null);
const succeeded = (group) => {
  const known = group.executions - (group.outcomes.unknown || 0);
  return known ? (group.outcomes.success || 0) / known : null;
};
table(at("names"), [
  ["name", (group) => group.name, plain, true],
  ["kind", (group) => group.kind, plain, true],
  ["executions", (group) => group.executions, plain],
  ["succeeded", succeeded, share],
  ["median", part("duration_seconds", "p50"), seconds],
  ["p90", part("duration_seconds", "p90"), seconds],
  ["p99", part("duration_seconds", "p99"), seconds],
  ["CPU median", part("cpu_seconds", "p50"), seconds],
  ["memory p99", part("peak_memory_bytes", "p99"), bytes],
], [...report.groups], { column: -1, up: false });

const shownLines = [...lines.values()].map((line) => ({ ...line, searched: `${line.name} ${outcomeOf(line)} ${line.execution_id}`.toLowerCase() }));
table(at("executions"), [
  ["name", (line) => line.name, plain, true],
  ["id", (line) => line.execution_id, (id) => make("button", { type: "button", class: "link", onclick: () => open(id) }, shortId(id)), true],
  ["outcome", outcomeOf, badge, true],
  ["started", (line) => line.started_unix_ns, age],
  ["duration", (line) => line.duration_seconds, seconds],
  ["CPU", (line) => line.cpu_seconds, seconds],
  ["memory", (line) => line.peak_memory_bytes, bytes],
  ["cause", (line) => line.cause, (cause) => cause || "", true],
], shownLines, { column: 3, up: false });
const every = report.executions + report.nested + report.running;
at("executions-note").textContent = !shownLines.length ? "Nothing has run."
  : shownLines.length >= every ? `All ${counts.format(every)}. An id opens one.`
    : `The newest, the longest and the largest: ${counts.format(shownLines.length)} of ${counts.format(every)}. An id opens one.`;
at("filter").addEventListener("input", () => {
  const wanted = at("filter").value.toLowerCase();
  for (const row of at("executions").tBodies[0].rows) row.hidden = !row.dataset.text.includes(wanted);
});

if (report.what_if.length) table(at("limits"), [
  ["name", (row) => row.name, plain, true],
  ["limit", (row) => row.limit, words, true],
  ["value", (row) => row.value, (value, row) => writerOf(row.limit)(value)],
  ["would fail", (row) => row.failed, plain],
  ["of the last", (row) => row.executions, plain],
], [...report.what_if], { column: -1, up: false });
else at("limits-section").hidden = true;
