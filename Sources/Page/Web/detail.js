// One repo: its revisions, and what can be done with it.

let shownRepo = null;

function showRepo(key, mustFocus) {
  shownRepo = key;
  drawDetail();
  const panel = document.getElementById("repo-detail");
  if (!mustFocus || panel.hidden) return;
  panel.scrollIntoView({ block: "start" });
  panel.focus({ preventScroll: true });
}

function closeDetail() {
  const key = shownRepo;
  shownRepo = null;
  drawDetail();
  for (const button of document.querySelectorAll("#repo-table [data-key]")) {
    if (button.dataset.key === "repo " + key) return button.focus();
  }
  document.getElementById("repos-title").focus();
}

function drawDetail() {
  const panel = document.getElementById("repo-detail");
  const entry = repos.byKey.get(shownRepo);
  panel.hidden = !entry;
  if (!entry) return panel.replaceChildren();
  const { repo } = entry;
  const facts = [
    ["State", badge(repo.state)], ["Size", size(repo.bytes)],
    ["Last use", repo.last_use ? age(repo.last_use.time) + ", told by " + repo.last_use.source : "not known"],
    ["Reclaimable", size(repo.reclaimable_bytes)],
    ["Kept", keptWords(repo) || "by no pin or hold"], ["Folder", code(repo.folder)],
  ];
  keepingFocus(panel, () => fill(panel,
    element("div", { class: "bar" }, element("h3", { id: "repo-detail-title" }, entry.id),
      element("button", { class: "quiet", "data-key": "close", onclick: closeDetail }, "Close")),
    element("dl", { class: "numbers" }, facts.map(([title, value]) => number(title, value))),
    !isReport && element("div", { class: "buttons" }, repoButtons(entry)),
    revisionTable(entry)));
}

function act(key, text, name, onclick, kind) {
  return element("button", { "data-key": key, class: kind, "aria-label": text + " " + displayText(name), onclick }, text);
}

function repoButtons(entry) {
  const buttons = [
    act("verify", "Verify", entry.id, () => verify(entry, undefined, "headers")),
    act("digests", "Verify every byte", entry.id, () => verify(entry, undefined, "digests")),
  ];
  if (["partial", "corrupt"].includes(entry.repo.state)) {
    buttons.push(act("repair", "Repair", entry.id, () => repair(entry)));
  }
  const running = transfers().find((transfer) => transfer.kind !== "repair" && isRunning(transfer)
    && transfer.model === entry.name && transfer.type === entry.type);
  if (running) {
    buttons.push(act("cancel", "Cancel the download", entry.id, () => cancelDownload(running), "danger"));
  } else if (entry.repo.state !== "downloading") {
    buttons.push(act("again", entry.repo.state === "complete" ? "Fetch what is new" : "Fetch the rest", entry.id,
      () => download(naming(entry), entry.id)));
  }
  buttons.push(act("delete", "Delete …", entry.id, () => askToDelete(entry), "danger"));
  return buttons;
}

function revisionTable(entry) {
  const table = element("div", {});
  const key = "revisions " + entry.key;
  tables[key] = tables[key] || {};
  drawTable(table, {
    caption: "Revisions", rows: entry.repo.revisions, state: tables[key],
    columns: [
      { title: "Revision", isLong: true, cell: (row) => [code((row.commit || "").slice(0, 12)),
        row.refs.length > 0 ? " " + row.refs.join(", ") : " detached"] },
      { title: "State", value: (row) => row.state, cell: (row) => badge(row.state) },
      { title: "Size", isNumber: true, value: (row) => row.bytes, cell: (row) => size(row.bytes) },
      { title: "Its alone", isNumber: true, isMinor: true, value: (row) => row.unique_bytes, cell: (row) => size(row.unique_bytes) },
      { title: "Files", isNumber: true, isMinor: true, value: (row) => row.files, cell: (row) => row.files.toLocaleString("en") },
      { title: "Arrived", isMinor: true, value: (row) => Date.parse(row.arrived || ""), cell: (row) => row.arrived ? clock(row.arrived) : "" },
      { title: "Last use", value: (row) => Date.parse(row.last_use?.time || ""),
        cell: (row) => row.last_use ? age(row.last_use.time) : "not known" },
      ...(isReport ? [] : [{ title: "Do", cell: (row) => row.commit ? element("span", { class: "buttons" },
        act("verify " + row.commit, "Verify", row.commit.slice(0, 12), () => verify(entry, row.commit, "headers")),
        act("delete " + row.commit, "Delete …", row.commit.slice(0, 12), () => askToDelete(entry, row), "danger")) : "" }]),
    ],
  });
  return table;
}
