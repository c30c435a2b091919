// Where each repo is on the map: squarified, the largest first.

// Gives every item of `items` ({weight}) a box within one.
function squarify(items, box) {
  const placed = [];
  let rest = { ...box };
  let total = items.reduce((sum, item) => sum + item.weight, 0);
  let from = 0;
  while (from < items.length && total > 0 && rest.width > 0 && rest.height > 0) {
    const side = Math.min(rest.width, rest.height);
    const scale = (rest.width * rest.height) / total;
    let until = from;
    let sum = 0;
    let worst = Infinity;
    while (until < items.length) {
      const area = items[until].weight * scale;
      const whole = sum + area;
      const depth = whole / side;
      const first = items[from].weight * scale / depth;
      const last = area / depth;
      const ratio = Math.max(first / depth, depth / first, last / depth, depth / last);
      if (until > from && ratio > worst) break;
      worst = ratio;
      sum = whole;
      until += 1;
    }
    const depth = sum / side;
    const isColumn = rest.width >= rest.height;
    let offset = 0;
    for (let index = from; index < until; index += 1) {
      const long = items[index].weight * scale / depth;
      placed.push({
        item: items[index],
        x: isColumn ? rest.x : rest.x + offset, y: isColumn ? rest.y + offset : rest.y,
        width: isColumn ? depth : long, height: isColumn ? long : depth,
      });
      offset += long;
      total -= items[index].weight;
    }
    if (isColumn) { rest.x += depth; rest.width -= depth; } else { rest.y += depth; rest.height -= depth; }
    from = until;
  }
  return placed;
}

// What is too small to be seen is drawn as one, which says how many it stands for.
function mapItems(list, area) {
  const sorted = list.filter((entry) => entry.repo.bytes > 0).sort((one, other) => other.repo.bytes - one.repo.bytes);
  const total = sorted.reduce((sum, entry) => sum + entry.repo.bytes, 0);
  const least = total * 60 / Math.max(area, 1);
  const items = sorted.filter((entry) => entry.repo.bytes >= least)
    .map((entry) => ({ weight: entry.repo.bytes, entry }));
  const small = sorted.slice(items.length);
  if (small.length > 0) {
    const bytes = small.reduce((sum, entry) => sum + entry.repo.bytes, 0);
    items.push({ weight: Math.max(bytes, total / 400), others: small.length, bytes });
  }
  return items;
}

// The parts of a repo: each revision's own bytes, and what several of them share.
function revisionItems(repo) {
  const own = repo.revisions.filter((revision) => revision.unique_bytes > 0)
    .map((revision) => ({ weight: revision.unique_bytes, revision }));
  const shared = repo.bytes - own.reduce((sum, item) => sum + item.weight, 0);
  if (shared > 0) own.push({ weight: shared });
  return own.sort((one, other) => other.weight - one.weight);
}
