// The chat, live. Every word comes from strangers and enters the page as text, never as HTML.
import { said as before } from "/said.js";
import { forgetFindings, noteAll, takeFinding } from "/findings.js";

const $ = (id) => document.getElementById(id);
const [room, list, empty, newer, groupsNav, state] = ["room", "lines", "empty", "newer", "groups", "state"].map($);
const [form, nameBox, textBox, fault] = ["say", "name", "text", "fault"].map($);

let { groups, run } = before;
let current = "";
let read = before.lines.length; // lines that were there when the page came
let seen = `${read}.${before.findings.length}`;
const said = new Map(); // group id -> lines
const unread = new Map(); // group id -> count

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// The same number for the same words, in every browser (FNV-1a).
function number(words) {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(words)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

const day = (line) => new Date(line.created_at * 1000).toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" });

function clock(line) {
  const at = new Date(line.created_at * 1000);
  const made = element("time", "", at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" }));
  made.dateTime = at.toISOString();
  return made;
}

// As high as a picture may be in the chat, in its own proportions.
function fit(width, height) {
  const scale = Math.min(1, 320 / height);
  return [Math.round(width * scale), Math.round(height * scale)];
}

function picture(line) {
  if (!line.picture) {
    const link = element("a", "elsewhere", line.picture_url);
    link.href = line.picture_url;
    link.rel = "noreferrer noopener";
    link.target = "_blank";
    return link;
  }
  const image = element("img", "picture");
  // GroupMe's names begin with the size; with it the lines do not move when the picture comes.
  const size = /(\d+)x(\d+)\./.exec(line.picture);
  if (size) [image.width, image.height] = fit(Number(size[1]), Number(size[2]));
  image.src = line.picture;
  image.alt = `Picture from ${line.name}`;
  const link = element("a", "whole");
  link.href = line.picture;
  link.target = "_blank";
  link.append(image);
  return link;
}

function render(line, before) {
  const made = [];
  if (!before || day(before) !== day(line)) made.push(element("li", "day", day(line)));
  if (line.sender_type === "system") {
    const item = element("li", "system", line.text ?? "");
    item.dataset.id = line.id;
    return [...made, item];
  }
  const same = made.length === 0 && before.sender_type === line.sender_type && before.sender_id === line.sender_id
    && before.name === line.name && line.created_at - before.created_at < 300;
  const item = element("li", `line ${line.sender_type}${same ? " more" : ""}`);
  item.dataset.id = line.id;
  const face = element("span", `face hue${number(line.name) % 8}`, [...line.name][0]?.toUpperCase() ?? "?");
  face.setAttribute("aria-hidden", "true");
  const who = element("p", "who");
  who.append(element("b", "", line.name));
  if (line.sender_type === "bot") who.append(element("span", "tag", "bot"));
  const bubble = element("div", "bubble");
  if (line.picture_url) bubble.append(picture(line));
  if (line.text) bubble.append(element("span", "text", line.text));
  bubble.append(clock(line));
  item.append(face, who, bubble);
  noteAll(bubble, line.id);
  return [...made, item];
}

let atEnd = true;
function toEnd() {
  room.scrollTop = room.scrollHeight;
  newer.hidden = true;
}
let lastTop = 0;
room.addEventListener("scroll", () => {
  // Only who scrolls up leaves the end; what grows below does not lead away from it.
  if (room.scrollHeight - room.scrollTop - room.clientHeight < 60) {
    atEnd = true;
    newer.hidden = true;
  } else if (room.scrollTop < lastTop) {
    atEnd = false;
  }
  lastTop = room.scrollTop;
});
const stay = new ResizeObserver(() => { if (atEnd) toEnd(); });
stay.observe(room);
stay.observe(list);
newer.addEventListener("click", () => { atEnd = true; toEnd(); });

function showGroup(id) {
  current = id;
  unread.delete(id);
  const lines = said.get(id) ?? [];
  list.replaceChildren(...lines.flatMap((line, at) => render(line, lines[at - 1])));
  empty.hidden = lines.length > 0;
  atEnd = true;
  toEnd();
  showGroups();
}

function showGroups() {
  groupsNav.hidden = groups.length < 2;
  groupsNav.replaceChildren(...groups.map(({ group_id, bots }) => {
    const button = element("button", "", bots.join(", "));
    button.type = "button";
    button.title = `Group ${group_id}`;
    button.setAttribute("aria-pressed", String(group_id === current));
    if (unread.get(group_id)) button.append(element("span", "unread", String(unread.get(group_id))));
    button.addEventListener("click", () => { location.hash = group_id; });
    return button;
  }));
}

function takeLine(line, count) {
  const lines = said.get(line.group_id) ?? [];
  said.set(line.group_id, lines);
  lines.push(line);
  if (line.group_id !== current) {
    if (count > read) unread.set(line.group_id, (unread.get(line.group_id) ?? 0) + 1);
    showGroups();
    return;
  }
  empty.hidden = true;
  list.append(...render(line, lines.at(-2)));
  if (atEnd) toEnd(); else newer.hidden = false;
}

function tell(word, text) {
  state.dataset.state = word;
  state.textContent = text;
}

const named = () => groups.find(({ group_id }) => group_id === location.hash.slice(1))?.group_id ?? groups[0]?.group_id ?? "";

const roomName = (id) => (groups.length > 1 ? groups.find(({ group_id }) => group_id === id)?.bots.join(", ") ?? "" : "");

// To the line that a finding is about, in whatever room it is.
function goTo({ group_id, line_id }) {
  if (group_id !== current) {
    history.replaceState(null, "", `#${group_id}`);
    showGroup(group_id);
  }
  const item = list.querySelector(`li[data-id="${line_id}"]`);
  if (!item) return;
  atEnd = false;
  item.tabIndex = -1;
  item.focus({ preventScroll: true });
  item.scrollIntoView({ block: "center" });
}

async function loadGroups() {
  groups = await (await fetch("/_sim/groups")).json();
}

function listen() {
  const stream = new EventSource(`/_sim/stream?last=${run}-${seen}`);
  stream.addEventListener("run", async ({ data }) => {
    tell("live", "live");
    const now = JSON.parse(data);
    if (run === now.run) return;
    ({ run, lines: read } = now);
    // Another simulator on the same port: what was said before is gone.
    said.clear();
    unread.clear();
    forgetFindings();
    await loadGroups();
    showGroup(named());
  });
  stream.addEventListener("line", ({ data, lastEventId }) => {
    seen = lastEventId.split("-")[1];
    takeLine(JSON.parse(data), Number(seen.split(".")[0]));
  });
  stream.addEventListener("finding", ({ data, lastEventId }) => {
    seen = lastEventId.split("-")[1];
    takeFinding(JSON.parse(data), roomName, goTo, true);
    if (atEnd) toEnd();
  });
  stream.addEventListener("error", () => {
    tell("lost", "not running");
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  });
}

async function say(text) {
  const name = nameBox.value.trim();
  // Who takes another name is another member.
  const user_id = String(10_000_000 + number(name) % 90_000_000);
  const answer = await fetch("/_sim/say", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ group_id: current, user_id, name, text }),
  });
  if (!answer.ok) throw new Error((await answer.json()).error);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = textBox.value.trim();
  if (!text || !form.reportValidity()) return;
  const button = form.querySelector("button");
  button.disabled = true;
  fault.hidden = true;
  atEnd = true;
  try {
    await say(text);
    textBox.value = "";
  } catch (error) {
    fault.textContent = error instanceof TypeError ? "Not sent: the simulator does not answer." : `Not sent: ${error.message}`;
    fault.hidden = false;
  }
  button.disabled = false;
  textBox.focus();
});
textBox.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});
nameBox.value = localStorage.getItem("name") ?? "Manager";
nameBox.addEventListener("change", () => localStorage.setItem("name", nameBox.value));
addEventListener("hashchange", () => showGroup(named()));

for (const finding of before.findings) takeFinding(finding, roomName, goTo, false);
for (const line of before.lines) said.set(line.group_id, [...(said.get(line.group_id) ?? []), line]);
showGroup(named());
listen();
