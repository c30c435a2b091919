// Texts: names made safe to look at, sizes, times; and elements made of them.

// As the program shows names: what cannot be seen, or turns text round, becomes \xNN, byte by byte.
const unsafeToShow = /\p{C}|\p{Zl}|\p{Zp}/gu;
const utf8 = new TextEncoder();

function displayText(text) {
  return String(text).replace(unsafeToShow, (character) =>
    Array.from(utf8.encode(character), (byte) => "\\x" + byte.toString(16).padStart(2, "0")).join(""));
}

function size(bytes) {
  if (typeof bytes !== "number") return "unknown";
  const units = ["bytes", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  let value = bytes;
  while (Math.abs(value) >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || Math.abs(value) >= 99.5 ? 0 : 1;
  return value.toFixed(digits) + " " + units[unit];
}

function count(number, noun) {
  return number.toLocaleString("en") + " " + noun + (number === 1 ? "" : "s");
}

function length(seconds) {
  if (typeof seconds !== "number" || !isFinite(seconds)) return "";
  const steps = [[86400 * 365, "year"], [86400, "day"], [3600, "hour"], [60, "minute"]];
  for (const [unit, name] of steps) {
    if (seconds >= unit) return count(Math.floor(seconds / unit), name);
  }
  return count(Math.max(0, Math.round(seconds)), "second");
}

function age(time) {
  const then = Date.parse(time);
  return isNaN(then) ? "" : length((now() - then) / 1000) + " ago";
}

function clock(time) {
  const date = new Date(time);
  if (isNaN(date)) return "";
  const two = (number) => String(number).padStart(2, "0");
  return date.getFullYear() + "-" + two(date.getMonth() + 1) + "-" + two(date.getDate())
    + " " + two(date.getHours()) + ":" + two(date.getMinutes());
}

// The only way text gets onto the page: as text. Handlers are listeners, never attributes.
function element(name, settings, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(settings || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "onclick") made.addEventListener("click", value);
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  append(made, children);
  return made;
}

function append(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false || child === "") continue;
    parent.append(child instanceof Node ? child : displayText(child));
  }
}

function fill(place, ...children) {
  const parent = typeof place === "string" ? document.getElementById(place) : place;
  parent.replaceChildren();
  append(parent, children);
  return parent;
}

function code(text) { return element("code", {}, text); }

// Somebody who has a button in focus while the page is drawn anew keeps it.
function keepingFocus(place, draw) {
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  draw();
  if (focused === undefined) return;
  for (const candidate of place.querySelectorAll("[data-key]")) {
    if (candidate.dataset.key === focused) return candidate.focus({ preventScroll: true });
  }
}

function say(text, kind) {
  const line = element("p", { class: "message " + (kind || "") },
    element("span", {}, (kind === "error" ? "Failed: " : "") + text),
    element("button", { class: "quiet", "aria-label": "Dismiss", onclick: () => line.remove() }, "✕"));
  const place = document.getElementById("messages");
  place.append(line);
  while (place.children.length > 5) place.firstChild.remove();
  return line;
}
