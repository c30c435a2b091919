// What can be done: each is one request, and what came of it is said.

async function attempt(words, work) {
  const begun = say(words + " …");
  try {
    say(await work(), "good");
  } catch (refusal) {
    say(words + ": " + refusal.message, "error");
  }
  begun.remove();
  refreshSoon();
}

function verify(entry, commit, depth) {
  const name = entry.id + (commit ? "@" + commit.slice(0, 12) : "");
  return attempt("Verifying " + name, async () => {
    const { summary } = await ask("POST", "api/verify", { ...naming(entry, commit), depth });
    const states = ["complete", "partial", "downloading", "corrupt", "unknown"].filter((state) => summary[state] > 0)
      .map((state) => summary[state] + " " + state);
    return name + ": " + states.join(", ") + "; " + count(summary.files_checked, "file") + ", "
      + size(depth === "digests" ? summary.bytes_hashed : summary.bytes_checked)
      + (depth === "digests" ? " read" : "") + ", " + summary.seconds.toFixed(1) + " s.";
  });
}

function repair(entry, commit) {
  const name = entry.id + (commit ? "@" + commit.slice(0, 12) : "");
  return attempt("Repairing " + name, async () => {
    const answer = await ask("POST", "api/repair", naming(entry, commit));
    return name + ": " + (answer.tasks.every((task) => task.joined) ? "is being repaired already." : "the repair has begun; see Transfers.");
  });
}

function repairAgain(transfer) {
  return attempt("Repairing " + transfer.model, async () => {
    await ask("POST", "api/repair", transferBody(transfer));
    return transfer.model + ": the repair has begun.";
  });
}

function download(body, name) {
  return attempt("Asking for " + name, async () => {
    const answer = await ask("POST", "api/models/download", body);
    return name + (answer.joined ? " is being fetched already: joined." : ": " + (answer.status || "under way").toLowerCase() + ".");
  });
}

// The same request without the task deletes what is not being fetched.
function cancelDownload(transfer) {
  return attempt("Cancelling " + transfer.model, async () => {
    const answer = await ask("DELETE", "api/models", { ...transferBody(transfer), task_id: transfer.task_id });
    return transfer.model + ": " + answer.status + (answer.kept ? "; " + answer.kept : "") + ".";
  });
}

// MARK: deleting

async function askToDelete(entry, revision) {
  const dialog = document.getElementById("delete");
  const yes = document.getElementById("delete-yes");
  const name = entry.id + (revision ? "@" + revision.commit.slice(0, 12) : "");
  fill("delete-title", "Delete " + name + "?");
  fill("delete-text", element("p", {}, "Looking at what shares its bytes, and who uses it …"));
  yes.disabled = true;
  yes.textContent = "Delete";
  const body = naming(entry, revision?.commit);
  yes.onclick = () => {
    dialog.close();
    attempt("Deleting " + name, async () => {
      const answer = await ask("DELETE", "api/models", body);
      return name + ": " + answer.status + (answer.bytes ? ", " + size(answer.bytes) + " freed." : ".");
    });
  };
  // What opened it may be drawn anew meanwhile.
  const opener = document.activeElement?.dataset.key;
  dialog.onclose = () => {
    const again = [...document.querySelectorAll("#repo-detail [data-key]")].find((button) => button.dataset.key === opener);
    (again || document.getElementById("repos-title")).focus();
  };
  const asked = Symbol(name);
  askToDelete.latest = asked;
  dialog.showModal();
  document.getElementById("delete-no").focus();
  let words;
  try {
    const outlook = await ask("POST", "api/models/removal", body);
    if (askToDelete.latest !== asked) return;
    words = removalWords(outlook, revision ? revision.bytes : entry.repo.bytes);
    yes.disabled = outlook.kept.length > 0 || outlook.refusal !== null;
    if (!yes.disabled) yes.textContent = "Delete, and free " + (outlook.bytes_at_most ? "at most " : "") + size(outlook.bytes);
  } catch (refusal) {
    if (askToDelete.latest !== asked) return;
    words = [element("p", { class: "condition error" }, "It cannot be told what would go: " + refusal.message)];
  }
  fill("delete-text", words);
}

function removalWords(outlook, all) {
  const words = [element("p", {}, "This frees " + (outlook.bytes_at_most ? "at most " : "") + size(outlook.bytes) + " of "
    + size(all) + ". It is undone if a client starts to use it meanwhile.")];
  if (outlook.shared_with.length > 0) {
    words.push(element("p", {}, "The rest stays, since these share it:"),
      element("ul", {}, outlook.shared_with.slice(0, 20).map((sharer) => element("li", {},
        code(sharer.repo + (sharer.commit ? "@" + sharer.commit.slice(0, 12) : "")), ": " + size(sharer.bytes)))),
      outlook.shared_with.length > 20 && element("p", {}, "and " + (outlook.shared_with.length - 20) + " more"));
  }
  const reasons = outlook.kept.map((kept) => kept.by + (kept.detail ? ": " + kept.detail : ""));
  if (outlook.refusal !== null) reasons.push(outlook.refusal);
  if (reasons.length > 0) {
    words.push(element("div", { class: "condition error" }, element("p", {}, element("strong", {}, "It stays, because of: ")),
      element("ul", {}, [...new Set(reasons)].slice(0, 10).map((reason) => element("li", {}, reason)))));
  }
  return words;
}
