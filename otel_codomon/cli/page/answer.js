// --- the verdict, and a card for each problem ---

at("verdict").textContent = report.verdict;
at("period").textContent = [
  `${instant(report.since_unix_ns)} to ${instant(report.until_unix_ns)}`,
  report.running ? `${counts.format(report.running)} still running` : null,
  report.before ? `${counted(report.before, "execution", "executions")} in the period before` : null,
  report.unreadable ? `${counted(report.unreadable, "record", "records")} not readable` : null,
  `from ${report.journal}`,
].filter(Boolean).join("; ");

const SHOWN = 5;
const lines = new Map();
const limits = new Map();
for (const line of [...report.slowest, ...report.greediest_cpu, ...report.greediest_memory, ...report.recent])
  lines.set(line.execution_id, line);
for (const { line, memory_limit_bytes: limit } of report.examples) {
  lines.set(line.execution_id, line);
  if (isKnown(limit)) limits.set(line.execution_id, limit);
}

function copied(button, text) {
  const done = () => { button.textContent = "Copied"; };
  const select = () => getSelection().selectAllChildren(button.previousSibling);
  if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, select);
  else select();
}

function step(command) {
  const button = make("button", { type: "button", onclick: () => copied(button, command) }, "Copy");
  return make("p", { class: "step" }, make("code", {}, command), button);
}

function since(problem) {
  const affected = counted(problem.affected, "execution", "executions");
  const first = problem.first_unix_ns, last = problem.last_unix_ns;
  if (!isKnown(first) || !isKnown(last)) return affected;
  return first === last ? `${affected}, ${age(first)}` : `${affected}, first ${age(first)}, last ${age(last)}`;
}

function example(problem) {
  const line = lines.get(problem.example);
  if (!line) return null;
  const what = `${shortId(line.execution_id)}, ${age(line.started_unix_ns)}${line.cause ? `: ${line.cause}` : ""}`;
  return make("div", {}, make("p", {}, "Example: ",
    make("button", { type: "button", class: "link", onclick: () => open(line.execution_id) }, what)),
    curvesOf(line, limits.get(line.execution_id)));
}

function fitting(problem) {
  const found = Object.entries(problem.recommended).map(([key, value]) => `${words(key)} ${writerOf(key)(value)}`);
  return found.length ? make("p", {}, `A limit that would fit: ${found.join(", ")}.`) : null;
}

function problemCard(problem, index) {
  const found = report.findings.find((one) => one.name === problem.name && one.rule === problem.rule);
  return make("article", { class: `card problem ${problem.severity}`, ...(index < SHOWN ? {} : { hidden: "" }) },
    make("h3", {}, make("span", { class: "tag" }, words(problem.rule)), `${problem.name}: ${problem.message}`),
    make("p", { class: "soft" }, since(problem)),
    found ? beforeNow(found.evidence) : null,
    example(problem),
    ...problem.also.map((text) => make("p", {}, `Also: ${text}.`)),
    make("p", {}, make("strong", {}, "What to do: "), `${problem.advice}.`), fitting(problem), step(problem.next_step));
}

function cacheCard(one) {
  return make("article", { class: "card problem low" },
    make("h3", {}, make("span", { class: "tag" }, "cache"), `${one.name} of process ${one.pid ?? UNKNOWN} ${one.message}`),
    make("p", {}, make("strong", {}, "What to do: "), `${one.advice}.`));
}

const cards = [...report.problems.map(problemCard), ...report.caches.map(cacheCard)];
at("problems").append(...(cards.length ? cards : [make("p", { class: "empty" }, "No problem was found.")]));
const more = cards.filter((card) => card.hidden);
if (more.length) {
  const button = make("button", { type: "button", class: "more", onclick: () => {
    for (const card of more) card.hidden = false;
    more[0].setAttribute("tabindex", "-1");
    more[0].focus();
    button.remove();
  } }, `Show ${counts.format(more.length)} more`);
  at("problems").append(button);
}
