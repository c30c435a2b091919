// What there is to read: space, conditions, repos, findings, the plan, what could be reclaimed.

const tables = { repos: { sort: "Size", descends: true }, actions: {}, kept: {}, leftovers: { sort: "Size", descends: true } };

function drawHeader() {
  const daemon = documents.status?.daemon;
  document.title = "hfjanitor" + (daemon ? ": " + daemon.mode : "");
  fill("daemon", daemon
    ? "Version " + daemon.version + ", mode " + daemon.mode + ", process " + daemon.pid + " since " + clock(daemon.since)
      + (documents.status.work.queued > 0 ? "; " + documents.status.work.queued + " waiting to be looked at" : "")
    : isReport ? "No daemon runs: this is what the disk says." : "");
  if (isReport) fill("connection", "A report of " + clock(embedded.time) + ", " + embedded.source + ".");
}

function drawSpace() {
  const known = documents.space?.caches || [];
  const caches = documents.ls?.caches || [];
  fill("space-caches", caches.map((cache) => {
    const floor = known.find((entry) => entry.cache_path === cache.path)?.floor_bytes
      ?? documents.plan?.caches.find((entry) => entry.path === cache.path)?.min_free_bytes;
    const isLow = floor && cache.free_bytes < floor;
    return element("div", { class: "cache" },
      element("h3", {}, code(cache.path)),
      spaceBar(cache, floor),
      element("ul", { class: "legend", "aria-label": "Colours" }, [["used", "in the cache"], ["waste", "of it reclaimable"], ["free", "free"]]
        .map(([kind, words]) => element("li", {}, element("span", { class: "swatch space-" + kind, "aria-hidden": "true" }), words)),
        floor && element("li", {}, element("span", { class: "line floor-key", "aria-hidden": "true" }), "floor")),
      element("dl", { class: "numbers" },
        number("Repos", cache.repos.length.toLocaleString("en")),
        number("On disk", size(cache.bytes)),
        number("Free", size(cache.free_bytes), isLow && "below the floor"),
        number("Floor", floor ? size(floor) : "none"),
        number("Reclaimable without any policy", size(cache.reclaimable_bytes))));
  }), caches.length === 0 && element("p", {}, documents.ls ? "No cache is watched that is there." : "Looking …"));
  // What is wrong with content is told below, file by file.
  const wrong = new Set((documents.findings?.caches || []).flatMap((cache) => cache.findings.map((finding) => finding.code)));
  const open = (documents.status?.conditions || []).filter((condition) => !wrong.has(condition.code));
  fill("conditions", open.map((condition) =>
    element("p", { class: "condition " + severityClass(condition.severity) },
      element("strong", {}, condition.severity + ": "), condition.message,
      element("span", { class: "hint" }, " (" + condition.code + ", since " + clock(condition.since) + ")"))),
    wrong.size > 0 && element("p", { class: "condition warning" },
      count(documents.findings.caches.reduce((sum, cache) => sum + cache.findings.length, 0), "finding") + ", ",
      element("a", { href: "#findings" }, "with what to do"), "."));
  const error = documents.status?.daemon?.policy?.error;
  if (error) {
    document.getElementById("conditions").prepend(element("p", { class: "condition error" },
      element("strong", {}, "policy: "), "the file is wrong, the last good one stays: " + error));
  }
}

function severityClass(severity) { return ["error", "warning"].includes(severity) ? severity : "info"; }

function number(title, value, note) {
  return element("div", {}, element("dt", {}, title),
    element("dd", {}, value, note && element("span", { class: "badge corrupt" }, note)));
}

function spaceBar(cache, floor) {
  const whole = cache.bytes + cache.free_bytes;
  const words = size(cache.bytes) + " in the cache, " + size(cache.free_bytes) + " free"
    + (floor ? ", floor " + size(floor) : "");
  const picture = drawing("svg", { class: "space-bar", viewBox: "0 0 1000 26", preserveAspectRatio: "none",
    role: "img", "aria-label": words });
  if (!(whole > 0)) return picture;
  const used = 1000 * cache.bytes / whole;
  const waste = 1000 * Math.min(cache.reclaimable_bytes, cache.bytes) / whole;
  picture.append(
    drawing("rect", { class: "free", x: 0, y: 0, width: 1000, height: 26 }),
    drawing("rect", { class: "used", x: 0, y: 0, width: used, height: 26 }),
    drawing("rect", { class: "waste", x: used - waste, y: 0, width: waste, height: 26 }));
  if (floor && floor < whole) {
    const place = 1000 - 1000 * floor / whole;
    picture.append(drawing("line", { class: "floor", x1: place, x2: place, y1: 0, y2: 26 }));
  }
  return picture;
}

function badge(state) {
  if (!state) return "–";
  const known = states[state] || states.unknown;
  return element("span", { class: "badge " + known.colour.slice(2) }, known.sign + state);
}

function cacheColumn(pathOf) {
  return several()
    ? [{ title: "Cache", cell: (row) => code(pathOf(row)), value: pathOf, isMinor: true, isLong: true }] : [];
}

function drawRepos() {
  const choice = document.getElementById("repo-state");
  if (choice.options.length === 1) {
    for (const state of Object.keys(states)) choice.append(element("option", { value: state }, state));
  }
  const wanted = document.getElementById("repo-filter").value.trim().toLowerCase();
  const state = choice.value;
  const rows = repos.list.filter((entry) =>
    (!wanted || entry.id.toLowerCase().includes(wanted)) && (!state || entry.repo.state === state));
  fill("repo-count", rows.length === repos.list.length ? count(rows.length, "repo")
    : rows.length.toLocaleString("en") + " of " + count(repos.list.length, "repo"));
  drawTable(document.getElementById("repo-table"), {
    caption: "Repos", rows, state: tables.repos,
    columns: [
      { title: "Repo", isLong: true, value: (row) => row.id, cell: (row) => element("button", {
        class: "link", "data-key": "repo " + row.key, onclick: () => showRepo(row.key, true) }, row.id) },
      { title: "State", value: (row) => row.repo.state || "", cell: (row) => badge(row.repo.state) },
      { title: "Size", isNumber: true, value: (row) => row.repo.bytes, cell: (row) => size(row.repo.bytes) },
      { title: "Last use", isNumber: true, value: (row) => row.used, cell: (row) => row.repo.last_use
        ? age(row.repo.last_use.time) + " (" + row.repo.last_use.source + ")" : "not known" },
      { title: "Revisions", isNumber: true, isMinor: true, value: (row) => row.repo.revisions.length,
        cell: (row) => row.repo.revisions.length.toLocaleString("en") },
      { title: "Kept", isMinor: true, value: (row) => keptWords(row.repo), cell: (row) => keptWords(row.repo) },
      ...cacheColumn((row) => row.cache.path),
    ],
  });
}

function keptWords(repo) { return [repo.pinned && "pinned", repo.held && "held"].filter(Boolean).join(", "); }

// What to do about each kind of finding.
const remedies = [
  [["missing-shard", "missing-file", "dangling-link", "empty-snapshot"],
    "Repair fetches what is missing, and nothing else."],
  [["size-mismatch", "truncated", "header-invalid", "digest-mismatch", "wrong-blob", "lfs-pointer", "html-content",
    "tensor-missing", "index-invalid"], "Repair brings the right content; who has the wrong one open keeps what they have."],
  [["bad-upstream", "missing-upstream"],
    "It was published like this: nothing here can mend it. Tell the publisher, or choose another revision."],
  [["index-unsafe-path", "link-escapes-cache", "not-a-file"],
    "Nothing of it is followed. Delete the revision, and fetch it from a publisher you trust."],
  [["unreadable"], "Let the daemon's user read it: see hfjanitor doctor."],
  [["read-error"], "The disk failed: look at the kernel's log, and at the disk."],
  [["stale-partial", "orphan-blob", "orphan-payload"], "Leftovers: a policy removes them; see Plan and Reclaimable."],
  [["shard-set-mixed"], "Parts of two sets lie side by side: look whether both are wanted."],
];
const mendable = new Set(remedies[0][0].concat(remedies[1][0]));

function remedy(kind) { return remedies.find(([kinds]) => kinds.includes(kind))?.[1] || ""; }

function findingWords(finding) {
  return [finding.detail, finding.expected && "expected " + finding.expected, finding.actual && "found " + finding.actual,
    finding.offset !== undefined && "at byte " + finding.offset].filter(Boolean).join(", ");
}

function drawFindings() {
  const all = (documents.findings?.caches || []).flatMap((cache) =>
    cache.findings.map((finding) => ({ cache: cache.path, finding })));
  const groups = new Map();
  for (const entry of all) {
    if (!groups.has(entry.finding.code)) groups.set(entry.finding.code, []);
    groups.get(entry.finding.code).push(entry);
  }
  const rank = { error: 0, warning: 1, info: 2 };
  const sorted = [...groups].sort(([, one], [, other]) =>
    rank[one[0].finding.severity] - rank[other[0].finding.severity] || other.length - one.length);
  const place = document.getElementById("finding-list");
  keepingFocus(place, () => fill(place, sorted.map(([kind, entries]) => findingGroup(kind, entries)),
    all.length === 0 && element("p", {}, documents.findings ? "Nothing is wrong." : "Looking …")));
}

function findingGroup(kind, entries) {
  const table = element("div", {});
  tables["finding " + kind] = tables["finding " + kind] || {};
  drawTable(table, {
    caption: kind + ": " + count(entries.length, "finding"), rows: entries, state: tables["finding " + kind],
    columns: [
      { title: "Repo", isLong: true, value: (row) => row.finding.repo || "", cell: (row) => repoLink(row.cache, row.finding.repo) },
      { title: "File", isLong: true, value: (row) => row.finding.file || row.finding.path,
        cell: (row) => code(row.finding.file || row.finding.path) },
      { title: "Revision", isMinor: true, value: (row) => row.finding.commit || "",
        cell: (row) => row.finding.commit ? code(row.finding.commit.slice(0, 12)) : "" },
      { title: "Why", isLong: true, cell: (row) => findingWords(row.finding) },
      ...cacheColumn((row) => row.cache),
      ...(isReport || !mendable.has(kind) ? [] : [{ title: "Do", cell: (row) => {
        const entry = repos.byKey.get(row.cache + "\n" + row.finding.repo);
        return entry ? element("button", { "data-key": "repair " + entry.key + row.finding.commit,
          "aria-label": "Repair " + displayText(entry.id),
          onclick: () => repair(entry, row.finding.commit) }, "Repair") : "";
      } }]),
    ],
  });
  const severity = entries[0].finding.severity;
  return element("div", { class: "group" },
    element("h3", {}, element("span", { class: "severity " + severityClass(severity) }, severity), " ", code(kind)),
    element("p", { class: "hint" }, remedy(kind)), table);
}

function repoLink(cache, repo) {
  if (!repo) return "";
  const key = cache + "\n" + repo;
  return repos.byKey.has(key)
    ? element("button", { class: "link", "data-key": "repo " + key, onclick: () => showRepo(key, true) }, repo) : repo;
}

const reasonUnits = { "cache-size": size, free: size, frees: size, "older-than": length, "unused-for": length };

function reasonWords(reason) {
  const unit = reasonUnits[reason.fact];
  const [value, limit] = [reason.value, reason.limit].map((fact) => unit && typeof fact === "number" ? unit(fact) : fact);
  return reason.fact + (value === undefined ? "" : " " + value) + (limit === undefined ? "" : ", limit " + limit)
    + (reason.source ? " (by " + reason.source + ")" : "");
}

const actionWords = {
  "remove-revision": "remove the revision", "remove-partial": "remove the partial download",
  "remove-orphan": "remove the orphan", "remove-payload": "remove the orphaned payload", repair: "repair",
};

function drawPlan() {
  const plan = documents.plan;
  if (!plan) return fill("plan-text", element("p", {}, isReport ? "No plan was made." : "Looking …"));
  const place = document.getElementById("plan-text");
  const rows = plan.caches.flatMap((cache) => cache.actions.map((action, index) => ({ cache, action, index })));
  const kept = plan.caches.flatMap((cache) => cache.kept.map((entry) => ({ cache, entry })));
  const goes = element("div", {});
  const stays = element("div", {});
  if (rows.length > 0) {
    drawTable(goes, {
      caption: "What goes next, in this order", rows, state: tables.actions,
      columns: [
        { title: "What", isLong: true, cell: (row) => [actionWords[row.action.action] || row.action.action, " ",
          row.action.repo ? repoLink(row.cache.path, row.action.repo) : code(row.action.path),
          row.action.commit && [" ", code(row.action.commit.slice(0, 12))]] },
        { title: "Frees", isNumber: true, value: (row) => row.action.bytes,
          cell: (row) => (row.action.bytes_at_most ? "≤ " : "") + size(row.action.bytes) },
        { title: "Rule", isLong: true, value: (row) => row.action.rule, cell: (row) => row.action.rule },
        { title: "Why", isLong: true, cell: (row) => reasonWords(row.action.reason) },
        { title: "Hub", isMinor: true, value: (row) => row.action.hub || "", cell: (row) => row.action.hub || "" },
        ...cacheColumn((row) => row.cache.path),
      ],
    });
  }
  if (kept.length > 0) {
    drawTable(stays, {
      caption: "What a rule would take, and what keeps it", rows: kept, state: tables.kept,
      columns: [
        { title: "What", isLong: true, cell: (row) => [row.entry.repo ? repoLink(row.cache.path, row.entry.repo) : code(row.entry.path || ""),
          row.entry.commit && [" ", code(row.entry.commit.slice(0, 12))]] },
        { title: "Size", isNumber: true, value: (row) => row.entry.bytes, cell: (row) => size(row.entry.bytes) },
        { title: "Kept by", value: (row) => row.entry.by, cell: (row) => row.entry.by },
        { title: "Why", isLong: true, cell: (row) => row.entry.detail },
        ...cacheColumn((row) => row.cache.path),
      ],
    });
  }
  keepingFocus(place, () => fill(place,
    element("p", {}, plan.mode === "enforce" ? "The daemon carries this out when it is due."
      : "Mode " + plan.mode + ": nothing of this is carried out."),
    plan.caches.map(planSummary),
    rows.length === 0 && element("p", {}, "Nothing goes now."), goes,
    kept.length > 0 && element("details", { open: rows.length === 0 }, element("summary", {}, count(kept.length, "item") + " kept"), stays)));
}

function planSummary(cache) {
  const lines = [];
  if (cache.shortfall_bytes > 0) {
    lines.push(size(cache.shortfall_bytes) + " short of " + size(cache.target_free_bytes ?? cache.min_free_bytes) + " free. Afterwards "
      + size(cache.after.free_bytes) + " are free" + (cache.after.reached ? "." : ": that is not enough."));
    if (cache.after.free_bytes_if_refused !== cache.after.free_bytes) {
      lines.push("If the Hub refuses what it was not asked yet: " + size(cache.after.free_bytes_if_refused) + ".");
    }
  }
  lines.push(...cache.notes);
  return lines.length === 0 ? "" : element("div", {}, several() && element("h3", {}, code(cache.path)),
    element("ul", {}, lines.map((line) => element("li", {}, line))));
}

const leftoverWords = {
  "stale-partial": "a download that was broken off; nobody writes to it",
  "orphan-blob": "a blob that no revision links to",
  "orphan-payload": "content of the shared store that no blob links to",
  "foreign-entry": "nothing of the cache's own, so that nothing here removes it",
};

function drawReclaimable() {
  const rows = (documents.ls?.caches || []).flatMap((cache) => (cache.leftovers || []).map((leftover) => ({ cache, leftover })));
  const total = rows.reduce((sum, row) => sum + row.leftover.bytes, 0);
  const planned = (documents.plan?.caches || []).flatMap((cache) => cache.actions).reduce((sum, action) => sum + action.bytes, 0);
  const table = element("div", {});
  if (rows.length > 0) {
    drawTable(table, {
      caption: "Leftovers", rows, state: tables.leftovers,
      columns: [
        { title: "What", isLong: true, value: (row) => row.leftover.path, cell: (row) => code(row.leftover.path) },
        { title: "Size", isNumber: true, value: (row) => row.leftover.bytes, cell: (row) => size(row.leftover.bytes) },
        { title: "Why", isLong: true, value: (row) => row.leftover.kind,
          cell: (row) => row.leftover.kind + (leftoverWords[row.leftover.kind] ? ": " + leftoverWords[row.leftover.kind] : "") },
        ...cacheColumn((row) => row.cache.path),
      ],
    });
  }
  const place = document.getElementById("reclaimable-text");
  keepingFocus(place, () => fill(place,
    documents.ls && element("p", {}, rows.length === 0 ? "There are no leftovers." : size(total) + " in " + count(rows.length, "leftover")
      + " belong to no revision."),
    documents.plan && element("p", {}, "What the policy would take now: " + size(planned) + ", see ",
      element("a", { href: "#plan" }, "Plan"), "."), table));
}
