// What the page shows: asked of the daemon, or what a report brought along.

const embedded = JSON.parse(document.getElementById("data").textContent.trim() || "null");
const isReport = embedded !== null;

const documents = {
  status: null, ls: null, findings: null, plan: null, space: null, history: null, downloads: null,
};
if (isReport) Object.assign(documents, embedded.documents);

function now() { return isReport ? Date.parse(embedded.time) : Date.now(); }

const addresses = {
  status: "api/status", ls: "api/ls", findings: "api/findings", plan: "api/plan", space: "api/models/space",
  history: "api/history", downloads: "api/downloads",
};

class Refusal extends Error {
  constructor(code, detail) {
    super(detail);
    this.code = code;
  }
}

async function ask(method, address, body) {
  let response;
  try {
    response = await fetch(address, {
      method, credentials: "omit", cache: "no-store", redirect: "error",
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Refusal("unreachable", "the daemon cannot be reached");
  }
  const answer = await response.json().catch(() => null);
  if (response.ok && answer !== null) return answer;
  throw new Refusal(answer?.code || "unavailable", answer?.detail || "the daemon answered with " + response.status);
}

// Everything there is: a repo with its cache, once.
const repos = { list: [], byKey: new Map() };

function indexRepos() {
  repos.list = [];
  repos.byKey.clear();
  for (const cache of documents.ls?.caches || []) {
    for (const repo of cache.repos) {
      const slash = repo.id.indexOf("/");
      const entry = {
        key: cache.path + "\n" + repo.id, cache, repo, id: repo.id,
        type: repo.id.slice(0, slash), name: repo.id.slice(slash + 1),
        used: repo.last_use ? Date.parse(repo.last_use.time) : NaN,
      };
      repos.list.push(entry);
      repos.byKey.set(entry.key, entry);
    }
  }
}

function cacheID(path) {
  return (documents.space?.caches || []).find((cache) => cache.cache_path === path)?.id;
}

// The body that names a repo, or one of its revisions.
function naming(entry, commit) {
  const body = { hf_repo: entry.name, type: entry.type };
  const cache = cacheID(entry.cache.path);
  if (cache) body.cache = cache;
  if (commit) body.hf_commit = commit;
  return body;
}

function several() { return (documents.ls?.caches || documents.status?.caches || []).length > 1; }
