// What is found wrong in what Talkback does: a verdict in the header, a list behind it, and a mark at each line that
// is concerned. Texts come from the simulator, and enter the page as text all the same.
const $ = (id) => document.getElementById(id);
const [watch, verdict, list, none, spoken] = ["watch", "verdict", "findings", "well", "spoken"].map($);

const names = { order: "Order", pace: "Pace", double: "Double", refused: "Refused" };
let all = [];
const ofLine = new Map(); // line id -> findings

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

const count = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;

function tellVerdict() {
  const faults = all.filter(({ weight }) => weight === "fault").length;
  const notices = all.length - faults;
  verdict.dataset.verdict = faults ? "fault" : notices ? "notice" : "well";
  const parts = [faults && count(faults, "fault"), notices && count(notices, "notice")].filter(Boolean);
  verdict.textContent = parts.join(", ") || "All well";
  none.hidden = all.length > 0;
}

// The room's name before what happened in it, where there are several rooms.
function entry(finding, roomName, goTo) {
  const item = element("li", finding.weight);
  const at = new Date(finding.at_ms);
  const time = element("time", "", at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" }));
  time.dateTime = at.toISOString();
  const room = finding.group_id && roomName(finding.group_id);
  const head = [finding.weight === "fault" ? "Fault" : "Notice", names[finding.kind], room].filter(Boolean).join(" · ");
  item.append(time, element("b", "", head), element("span", "what", finding.what));
  if (finding.line_id) {
    const button = element("button", "", "Show the line");
    button.type = "button";
    button.addEventListener("click", () => { watch.open = false; goTo(finding); });
    item.append(button);
  }
  return item;
}

// A note in the bubble of a line: colour alone would not reach everybody.
function note(bubble, finding) {
  const item = bubble.closest("li");
  item.classList.add("marked");
  if (finding.weight === "fault") item.classList.add("faulty");
  bubble.append(element("p", `mark ${finding.weight}`, `${finding.weight === "fault" ? "Fault" : "Notice"}: ${finding.what}`));
}

export function noteAll(bubble, lineId) {
  for (const finding of ofLine.get(lineId) ?? []) note(bubble, finding);
}

export function takeFinding(finding, roomName, goTo, aloud) {
  all.push(finding);
  if (finding.line_id) ofLine.set(finding.line_id, [...(ofLine.get(finding.line_id) ?? []), finding]);
  list.prepend(entry(finding, roomName, goTo));
  tellVerdict();
  if (!aloud) return;
  spoken.textContent = `${finding.weight}: ${finding.what}`;
  const bubble = finding.line_id && document.querySelector(`li[data-id="${finding.line_id}"] .bubble`);
  if (bubble) note(bubble, finding);
}

export function forgetFindings() {
  all = [];
  ofLine.clear();
  list.replaceChildren();
  tellVerdict();
}

// Open, it lies over the lines: Escape or a press beside it puts it away.
addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !watch.open) return;
  watch.open = false;
  verdict.focus();
});
addEventListener("pointerdown", (event) => {
  if (watch.open && !watch.contains(event.target)) watch.open = false;
});
tellVerdict();
