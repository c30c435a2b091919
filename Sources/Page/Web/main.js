// Drawing it all, and keeping it true.

function drawAll() {
  drawHeader();
  drawSpace();
  drawTransfers();
  drawCacheChoice();
  drawMap();
  drawDetail();
  drawRepos();
  drawFindings();
  drawPlan();
  drawReclaimable();
  drawHistory();
}

const refreshing = { isRunning: false, isWanted: false, timer: null, lasted: 0 };

// A button that is drawn anew while it is pressed would not be clicked: drawing waits for that.
const pointer = { isPressed: false, isWanted: false };

function drawWhenReleased() {
  pointer.isWanted = pointer.isPressed;
  if (!pointer.isPressed) drawAll();
}

function watchPressing() {
  document.addEventListener("pointerdown", () => { pointer.isPressed = true; });
  const release = () => setTimeout(() => {
    pointer.isPressed = false;
    if (pointer.isWanted) drawWhenReleased();
  });
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, release);
  // Released outside of the window.
  document.addEventListener("pointermove", (event) => { if (pointer.isPressed && event.buttons === 0) release(); });
}

// Whether a document says something else than the last one; when it was made is nothing new.
const lastTexts = {};

function isNews(name, document) {
  const text = JSON.stringify({ ...document, time: undefined });
  const isNew = text !== lastTexts[name];
  lastTexts[name] = text;
  return isNew;
}

async function refresh() {
  if (refreshing.isRunning) {
    refreshing.isWanted = true;
    return;
  }
  refreshing.isRunning = true;
  refreshing.isWanted = false;
  const begun = performance.now();
  const failures = [];
  let hasNews = false;
  await Promise.all(Object.entries(addresses).map(async ([name, address]) => {
    try {
      documents[name] = await ask("GET", address);
      hasNews = isNews(name, documents[name]) || hasNews;
    } catch (refusal) {
      // An older daemon does not know all of them.
      if (refusal.code !== "not_found") failures.push(refusal);
      else if (name === "history") documents.history = { caches: [] };
    }
  }));
  refreshing.lasted = performance.now() - begun;
  refreshing.isRunning = false;
  if (hasNews) {
    indexRepos();
    drawWhenReleased();
  }
  tellConnection(failures[0]);
  if (refreshing.isWanted) refreshSoon();
}

// Not more often than the daemon can well answer.
function refreshSoon() {
  if (refreshing.timer !== null) return;
  refreshing.timer = setTimeout(() => {
    refreshing.timer = null;
    refresh();
  }, Math.max(300, refreshing.lasted * 4));
}

function tellConnection(failure) {
  const place = document.getElementById("connection");
  const text = failure ? "Not up to date: " + failure.message + ". It is tried again." : "Up to date.";
  place.classList.toggle("lost", Boolean(failure));
  if (place.textContent !== text) fill(place, text);
}

// What the daemon tells its journal; each of them may change something.
const kinds = [
  "daemon-ready", "arrived", "finding", "finding-cleared", "download-started", "download-joined", "download-finished",
  "download-failed", "repaired", "removed", "kept", "floor-breached", "floor-held", "floor-unreachable", "policy-applied",
  "policy-rejected", "watch-degraded", "scrub-finished", "pass",
];

function listen() {
  const events = new EventSource("api/events");
  for (const kind of kinds) events.addEventListener(kind, refreshSoon);
  events.addEventListener("progress", (event) => {
    try {
      takeProgress(JSON.parse(event.data));
    } catch {
      refreshSoon();
    }
  });
  events.addEventListener("open", refreshSoon);
  events.addEventListener("error", () => tellConnection(new Error("the daemon does not answer")));
}

function start() {
  document.documentElement.classList.toggle("report", isReport);
  if (isReport) for (const part of document.querySelectorAll("[data-live]")) part.remove();
  startMap();
  for (const id of ["repo-filter", "repo-state"]) {
    document.getElementById(id).addEventListener("input", () => { tables.repos.shown = rowsAtOnce; drawRepos(); });
  }
  document.getElementById("repo-detail").addEventListener("keydown", (event) => { if (event.key === "Escape") closeDetail(); });
  if (isReport) {
    indexRepos();
    return drawAll();
  }
  startTransfers();
  watchPressing();
  drawAll();
  refresh();
  listen();
  // What no event tells, such as time that goes by.
  setInterval(() => {
    if (document.hidden) return;
    lastTexts.status = undefined;
    refresh();
  }, 30000);
}

start();
