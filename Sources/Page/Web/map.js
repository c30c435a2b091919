// The map on its canvas: drawn, pointed at, walked through by keys.

const states = {
  complete: { text: "complete", colour: "--complete", sign: "" },
  downloading: { text: "downloading", colour: "--downloading", sign: "↓ " },
  partial: { text: "partial", colour: "--partial", sign: "◐ " },
  corrupt: { text: "corrupt", colour: "--corrupt", sign: "✕ " },
  unknown: { text: "unknown", colour: "--unknown", sign: "? " },
};
const day = 86400000;
const uses = [
  { text: "within a day", colour: "--use-1", upTo: day },
  { text: "within a week", colour: "--use-2", upTo: 7 * day },
  { text: "within a month", colour: "--use-3", upTo: 31 * day },
  { text: "within three months", colour: "--use-4", upTo: 92 * day },
  { text: "longer ago", colour: "--use-5", upTo: Infinity },
];
const unknownUse = { text: "not known", colour: "--unknown" };

function useOf(time) {
  return isNaN(time) ? unknownUse : uses.find((use) => now() - time <= use.upTo);
}

const map = { boxes: [], here: -1, colour: "state" };

function drawMap() {
  const canvas = document.getElementById("map-canvas");
  const width = Math.floor(canvas.parentElement.clientWidth);
  const height = Math.round(Math.min(480, Math.max(260, width * 0.5)));
  if (width <= 0) return;
  const scale = window.devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.height = height + "px";
  const key = map.boxes[map.here]?.item.entry?.key;
  map.boxes = squarify(mapItems(repos.list, width * height), { x: 0, y: 0, width, height });
  map.here = map.boxes.findIndex((box) => key !== undefined && box.item.entry?.key === key);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const ink = { gap: colour("--paper"), text: colour("--on-colour"), other: colour("--unknown"), focus: colour("--focus") };
  for (const box of map.boxes) drawBox(pen, box, colour, ink);
  if (map.here >= 0) outline(pen, map.boxes[map.here], ink.focus);
  if (map.boxes.length === 0) {
    pen.fillStyle = colour("--ink");
    pen.font = "15px system-ui, sans-serif";
    pen.fillText(documents.ls ? "There is nothing in the cache." : "Looking …", 12, 28);
  }
  drawLegend();
}

function outline(pen, box, colour) {
  pen.strokeStyle = colour;
  pen.lineWidth = 3;
  pen.strokeRect(box.x + 2, box.y + 2, Math.max(0, box.width - 4), Math.max(0, box.height - 4));
}

function drawBox(pen, box, colour, ink) {
  const { entry, others } = box.item;
  const inner = { x: box.x + 0.75, y: box.y + 0.75, width: Math.max(0, box.width - 1.5), height: Math.max(0, box.height - 1.5) };
  if (!entry) {
    pen.fillStyle = ink.other;
    pen.fillRect(inner.x, inner.y, inner.width, inner.height);
    return label(pen, inner, others + " smaller", "", ink);
  }
  const shade = (state, used) => map.colour === "state" ? states[state] || states.unknown : useOf(used);
  pen.fillStyle = colour(shade(entry.repo.state, entry.used).colour);
  pen.fillRect(inner.x, inner.y, inner.width, inner.height);
  if (entry.repo.revisions.length > 1 && inner.width > 40 && inner.height > 40) {
    for (const part of squarify(revisionItems(entry.repo), { ...inner })) {
      const revision = part.item.revision;
      const used = revision?.last_use ? Date.parse(revision.last_use.time) : entry.used;
      pen.fillStyle = colour(shade(revision?.state || entry.repo.state, used).colour);
      pen.fillRect(part.x, part.y, part.width, part.height);
      pen.strokeStyle = ink.gap;
      pen.globalAlpha = 0.5;
      pen.lineWidth = 0.75;
      pen.strokeRect(part.x, part.y, part.width, part.height);
      pen.globalAlpha = 1;
    }
  }
  const sign = map.colour === "state" ? (states[entry.repo.state] || { sign: "" }).sign : "";
  label(pen, inner, sign + displayText(entry.name), size(entry.repo.bytes), ink);
}

function label(pen, box, text, second, ink) {
  if (box.width < 46 || box.height < 18) return;
  pen.save();
  pen.beginPath();
  pen.rect(box.x, box.y, box.width - 4, box.height);
  pen.clip();
  pen.fillStyle = ink.text;
  pen.textBaseline = "top";
  pen.font = "600 12px system-ui, sans-serif";
  const slash = text.indexOf("/");
  const fits = pen.measureText(text).width <= box.width - 10;
  // The name says more than its owner where there is no room for both.
  pen.fillText(fits || slash < 0 ? text : text.slice(slash + 1), box.x + 5, box.y + 4);
  if (second && box.height > 36) {
    pen.font = "12px system-ui, sans-serif";
    pen.fillText(second, box.x + 5, box.y + 20);
  }
  pen.restore();
}

function drawLegend() {
  const shown = map.colour === "state"
    ? Object.values(states).map((state) => [state.colour, state.sign + state.text])
    : uses.concat(unknownUse).map((use) => [use.colour, use.text]);
  fill("map-legend", shown.map(([colour, text]) =>
    element("li", {}, element("span", { class: "swatch " + colour.slice(2), "aria-hidden": "true" }), text)));
}

function describe(box) {
  if (!box) return "";
  const { entry, others, bytes } = box.item;
  if (!entry) return count(others, "smaller repo") + ", " + size(bytes) + " together: see the table.";
  const use = entry.repo.last_use ? ", used " + age(entry.repo.last_use.time) : "";
  return entry.id + ": " + size(entry.repo.bytes) + ", " + (entry.repo.state || "nothing of it here") + use + ", "
    + count(entry.repo.revisions.length, "revision");
}

function goTo(index) {
  map.here = index;
  drawMap();
  fill("map-here", describe(map.boxes[map.here]));
}

// The nearest box in a direction: by the middle of this one.
function neighbour(dx, dy) {
  const here = map.boxes[map.here];
  if (!here) return map.boxes.length > 0 ? 0 : -1;
  const [x, y] = [here.x + here.width / 2, here.y + here.height / 2];
  let best = map.here;
  let least = Infinity;
  map.boxes.forEach((box, index) => {
    const along = (box.x + box.width / 2 - x) * dx + (box.y + box.height / 2 - y) * dy;
    const across = Math.abs((box.x + box.width / 2 - x) * dy) + Math.abs((box.y + box.height / 2 - y) * dx);
    if (index === map.here || along <= 0.5) return;
    const distance = along + 2 * across;
    if (distance < least) [best, least] = [index, distance];
  });
  return best;
}

function boxAt(event) {
  const place = event.currentTarget.getBoundingClientRect();
  const [x, y] = [event.clientX - place.left, event.clientY - place.top];
  return map.boxes.findIndex((box) => x >= box.x && x < box.x + box.width && y >= box.y && y < box.y + box.height);
}

function showHere() {
  const entry = map.boxes[map.here]?.item.entry;
  if (entry) showRepo(entry.key, true);
}

function startMap() {
  const canvas = document.getElementById("map-canvas");
  const ways = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
  canvas.addEventListener("keydown", (event) => {
    if (ways[event.key]) goTo(neighbour(...ways[event.key]));
    else if (event.key === "Home") goTo(map.boxes.length > 0 ? 0 : -1);
    else if (event.key === "End") goTo(map.boxes.length - 1);
    else if (event.key === "Enter" || event.key === " ") showHere();
    else return;
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    const index = boxAt(event);
    if (index !== map.here && event.pointerType === "mouse") goTo(index);
  });
  canvas.addEventListener("click", (event) => { goTo(boxAt(event)); showHere(); });
  canvas.addEventListener("focus", () => { if (map.here < 0 && map.boxes.length > 0) goTo(0); });
  document.getElementById("map-colour").addEventListener("change", (event) => {
    map.colour = event.target.value;
    drawMap();
  });
  let width = 0;
  new ResizeObserver(() => {
    const measured = canvas.parentElement.clientWidth;
    if (measured !== width) drawMap();
    width = measured;
  }).observe(canvas.parentElement);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawMap);
}
