// Transfers, live; and the form that begins one.

function transfers() { return documents.downloads?.downloads || []; }

function isRunning(transfer) { return ["PREPARING", "RUNNING"].includes(transfer.status); }

// What names a transfer's repo and revision.
function transferBody(transfer) {
  const body = { hf_repo: transfer.model, type: transfer.type, cache: transfer.cache };
  const revision = transfer.revision || transfer.commit;
  if (revision) body.hf_commit = revision;
  return body;
}

function retryTransfer(transfer) {
  if (transfer.kind === "repair") return repairAgain(transfer);
  const body = transferBody(transfer);
  for (const key of ["include", "exclude"]) if (transfer[key]?.length > 0) body[key] = transfer[key];
  return download(body, transfer.model);
}

function transferWords(transfer) {
  const parts = [(transfer.kind || "download") + " " + transfer.status.toLowerCase()];
  const { bytes, total_bytes: total, bytes_per_second: pace, eta_seconds: rest } = transfer.progress;
  if (bytes > 0 || total) parts.push(size(bytes) + (typeof total === "number" ? " of " + size(total) : ""));
  if (isRunning(transfer)) {
    if (pace > 0) parts.push(size(pace) + "/s");
    if (typeof rest === "number") parts.push(length(rest) + " left");
  }
  const files = transfer.files;
  if (files) parts.push(count(files.repaired, "file") + " repaired, " + files.left + " left, " + files.failed + " failed");
  if (transfer.ended) parts.push(age(transfer.ended));
  return parts.join(", ");
}

function drawTransfers() {
  if (isReport) return;
  const place = document.getElementById("transfer-list");
  // Where a daemon lists its own, what others write shows only as far as it is not among them.
  const own = transfers();
  const names = new Set(own.filter(isRunning).map((transfer) => transfer.type + "/" + transfer.model));
  const foreign = (documents.status?.work.downloads || []).filter((download) => !names.has(download.repo));
  keepingFocus(place, () => fill(place,
    own.length + foreign.length === 0 && element("p", {}, "Nothing is being fetched."),
    own.map(ownTransfer), foreign.map(foreignTransfer)));
}

function progressBar(label, bytes, total) {
  return element("progress", { "aria-label": label, max: total || undefined, value: total ? Math.min(bytes, total) : undefined });
}

function ownTransfer(transfer) {
  const name = transfer.model || "everything";
  const progress = transfer.progress;
  const failure = transfer.error_message || transfer.error_code;
  return element("div", { class: "transfer", "data-task": transfer.task_id },
    element("strong", {}, name),
    isRunning(transfer) && progressBar("Progress of " + displayText(name), progress.bytes, progress.total_bytes),
    element("span", { class: "transfer-words" }, transferWords(transfer)),
    failure && element("span", { class: "condition error" }, (transfer.error_code || "") + ": " + failure),
    transfer.model && (isRunning(transfer)
      ? transfer.kind !== "repair" && act("cancel " + transfer.task_id, "Cancel", name, () => cancelDownload(transfer), "danger")
      : failure && act("retry " + transfer.task_id, "Retry", name, () => retryTransfer(transfer))));
}

function foreignTransfer(transfer) {
  return element("div", { class: "transfer" }, element("strong", {}, transfer.repo),
    progressBar("Progress of " + displayText(transfer.repo), transfer.bytes, transfer.total_bytes),
    element("span", {}, size(transfer.bytes) + (transfer.total_bytes ? " of " + size(transfer.total_bytes) : "")
      + ", by another client"));
}

function takeProgress(progress) {
  const known = transfers().find((transfer) => transfer.task_id === progress.task_id);
  if (!known) return refreshSoon();
  const wasRunning = isRunning(known);
  known.status = progress.status;
  for (const key of Object.keys(known.progress)) if (key in progress) known.progress[key] = progress[key];
  if (wasRunning !== isRunning(known)) return refreshSoon();
  // In place: a button that came anew twice a second could hardly be pressed.
  const shown = [...document.querySelectorAll("#transfer-list [data-task]")].find((place) => place.dataset.task === known.task_id);
  const bar = shown?.querySelector("progress");
  if (!bar) return drawTransfers();
  if (known.progress.total_bytes) {
    bar.max = known.progress.total_bytes;
    bar.value = Math.min(known.progress.bytes, known.progress.total_bytes);
  }
  fill(shown.querySelector(".transfer-words"), transferWords(known));
}

// MARK: the form

function patterns(text) { return text.split(",").map((part) => part.trim()).filter(Boolean); }

function fetchBody() {
  const form = new FormData(document.getElementById("fetch-form"));
  const body = { hf_repo: form.get("hf_repo").trim(), type: form.get("type") };
  for (const key of ["hf_commit", "cache", "hf_token"]) {
    const text = (form.get(key) || "").trim();
    if (text) body[key] = text;
  }
  for (const key of ["include", "exclude"]) {
    const list = patterns(form.get(key));
    if (list.length > 0) body[key] = list;
  }
  return body;
}

function drawCacheChoice() {
  if (isReport) return;
  const choice = document.getElementById("fetch-cache");
  const caches = documents.space?.caches || [];
  const known = [...choice.options].map((option) => option.value).join("\n");
  if (known === caches.map((cache) => cache.id).join("\n")) return;
  fill(choice, caches.map((cache) => element("option", { value: cache.id }, cache.cache_path)));
}

async function preview() {
  const form = document.getElementById("fetch-form");
  if (!form.reportValidity()) return;
  fill("preview", element("p", {}, "Asking the Hub …"));
  try {
    fill("preview", previewWords(await ask("POST", "api/models/preview", fetchBody())));
  } catch (refusal) {
    fill("preview", element("p", { class: "condition error" }, refusal.message));
  }
}

function yesNo(value, yes, no) { return value === undefined || value === null ? "not known" : value ? yes : no; }

function previewWords(found) {
  const gated = found.access?.gated && found.access.gated !== "false";
  const facts = [
    ["Size", size(found.bytes) + (found.files ? " in " + count(found.files, "file") : "")],
    ["Revision", code((found.commit || "").slice(0, 12))],
    ["Licence", found.license], ["Architecture", (found.model?.architectures || []).join(", ")],
    ["Parameters", found.parameters?.total && (found.parameters.total >= 1e9 ? (found.parameters.total / 1e9).toFixed(2) + " billion"
      : (found.parameters.total / 1e6).toFixed(1) + " million")],
    ["Gated", gated ? "yes: ask for access on the Hub" : "no"],
    ["Own code", yesNo(found.custom_code?.needed, "needed: read it before you trust it", "not needed")],
    ["To fetch", found.disk && size(found.disk.missing_bytes) + ", " + size(found.disk.free_bytes) + " free, floor " + size(found.disk.floor_bytes)],
    ["Fits on disk", found.disk && yesNo(found.disk.fits, "yes", "no")],
  ];
  const memory = ["stored", "fp16", "int8", "int4"].filter((kind) => found.memory?.[kind]);
  const table = element("div", {});
  if (memory.length > 0) {
    drawTable(table, {
      caption: "What it takes in memory", rows: memory, state: {},
      columns: [
        { title: "Loaded", cell: (kind) => kind === "stored" ? "as it is" : kind },
        { title: "Takes", isNumber: true, cell: (kind) => size(found.memory[kind].bytes) },
        { title: "Memory", cell: (kind) => yesNo(found.memory[kind].fits_ram, "fits", "does not fit") },
        { title: "One GPU", cell: (kind) => yesNo(found.memory[kind].fits_one_gpu, "fits", "does not fit") },
      ],
    });
  }
  return [element("h3", {}, found.repo || ""),
    element("dl", { class: "numbers" }, facts.filter(([, value]) => value).map(([title, value]) => number(title, value))),
    table, found.error_message && element("p", { class: "condition error" }, found.error_message),
    (found.notes || []).map((note) => element("p", { class: "hint" }, note))];
}

function startTransfers() {
  document.getElementById("preview-button").addEventListener("click", preview);
  document.getElementById("fetch-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const body = fetchBody();
    event.target.elements.hf_token.value = "";
    download(body, body.hf_repo);
  });
}
