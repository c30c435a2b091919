// Free space over time, the floor under it, and when it will be reached if it goes on like this.

function drawing(name, settings, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(settings)) made.setAttribute(key, String(value));
  append(made, children);
  return made;
}

function drawHistory() {
  const caches = (documents.history?.caches || []).filter((cache) => cache.samples.length > 0);
  const place = document.getElementById("history-charts");
  const open = new Set([...place.querySelectorAll("details[open]")].map((details) => details.dataset.key));
  fill(place, caches.map((cache) => historyOf(cache, open)),
    caches.length === 0 && element("p", {}, documents.history || isReport
      ? "Nothing was recorded yet: only a daemon takes samples of what is free." : "Looking …"));
}

function forecastWords(forecast) {
  if (!forecast) return "At this pace the floor is not reached.";
  const pace = typeof forecast.bytes_per_day === "number" ? " (" + size(Math.abs(forecast.bytes_per_day)) + " a day)" : "";
  if (!forecast.floor_reached) return "At this pace the floor is not reached" + pace + ".";
  const rest = (Date.parse(forecast.floor_reached) - now()) / 1000;
  return "At this pace" + pace + " the floor is reached " + (rest > 0 ? "in " + length(rest) + ", " : "")
    + "on " + clock(forecast.floor_reached) + ".";
}

function historyOf(cache, open) {
  const samples = cache.samples.map((sample) => ({ ...sample, at: Date.parse(sample.time) })).filter((sample) => !isNaN(sample.at));
  const latest = samples[samples.length - 1];
  const reached = Date.parse(cache.forecast?.floor_reached ?? "");
  const span = Math.max(latest.at - samples[0].at, 3600000);
  // A forecast that is far off would leave no room for what was.
  const end = reached > latest.at ? Math.min(reached, latest.at + span) : latest.at;
  const top = Math.max(...samples.map((sample) => Math.max(sample.free_bytes, sample.floor_bytes || 0))) * 1.08 || 1;
  const [width, height, left, right, bottom] = [720, 240, 66, 8, 26];
  const x = (time) => left + (width - left - right) * (time - (latest.at - span)) / Math.max(end - (latest.at - span), 1);
  const y = (bytes) => 8 + (height - 8 - bottom) * (1 - bytes / top);
  const path = (points) => points.map(([at, bytes], index) => (index ? "L" : "M") + x(at).toFixed(1) + " " + y(bytes).toFixed(1)).join("");
  const words = "Free space of " + displayText(cache.path) + ": " + size(latest.free_bytes) + " now, "
    + (latest.floor_bytes ? "floor " + size(latest.floor_bytes) + ". " : "no floor. ") + forecastWords(cache.forecast);
  const picture = drawing("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words });
  for (const part of [0, 0.25, 0.5, 0.75, 1]) {
    picture.append(drawing("line", { class: "grid", x1: left, x2: width - right, y1: y(top * part), y2: y(top * part) }),
      drawing("text", { x: left - 6, y: y(top * part) + 4, "text-anchor": "end" }, size(top * part)));
  }
  picture.append(drawing("text", { x: left, y: height - 6 }, clock(latest.at - span)),
    drawing("text", { x: width - right, y: height - 6, "text-anchor": "end" }, clock(end)));
  picture.append(drawing("path", { class: "free-line", d: path(samples.map((sample) => [sample.at, sample.free_bytes])) }));
  if (samples.length === 1) picture.append(drawing("circle", { class: "free-dot", cx: x(latest.at), cy: y(latest.free_bytes), r: 4 }));
  const floors = samples.filter((sample) => sample.floor_bytes);
  if (floors.length > 0) {
    const line = floors.map((sample) => [sample.at, sample.floor_bytes]);
    line.push([end, floors[floors.length - 1].floor_bytes]);
    picture.append(drawing("path", { class: "floor-line", d: path(line) }));
  }
  if (end > latest.at && latest.floor_bytes) {
    const share = (end - latest.at) / (reached - latest.at);
    picture.append(drawing("path", { class: "forecast-line",
      d: path([[latest.at, latest.free_bytes], [end, latest.free_bytes + (latest.floor_bytes - latest.free_bytes) * share]]) }));
  }
  const key = cache.path;
  tables["history " + key] = tables["history " + key] || { shown: 24 };
  const table = element("div", {});
  drawTable(table, {
    caption: "Samples, the latest first", rows: cache.samples.slice().reverse(), state: tables["history " + key],
    columns: [
      { title: "Time", cell: (row) => clock(row.time) },
      { title: "Free", isNumber: true, cell: (row) => size(row.free_bytes) },
      { title: "Floor", isNumber: true, cell: (row) => row.floor_bytes ? size(row.floor_bytes) : "none" },
      { title: "Cache", isNumber: true, cell: (row) => typeof row.cache_bytes === "number" ? size(row.cache_bytes) : "" },
    ],
  });
  return element("figure", {}, element("figcaption", {}, code(cache.path), " ", forecastWords(cache.forecast)), picture,
    element("ul", { class: "legend", "aria-label": "Lines" },
      element("li", {}, element("span", { class: "line free-key", "aria-hidden": "true" }), "free"),
      element("li", {}, element("span", { class: "line floor-key", "aria-hidden": "true" }), "floor"),
      element("li", {}, element("span", { class: "line forecast-key", "aria-hidden": "true" }), "forecast")),
    element("details", { "data-key": key, open: open.has(key) }, element("summary", {}, "As numbers"), table));
}
