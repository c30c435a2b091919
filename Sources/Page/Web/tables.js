// Tables that stay quick with thousands of rows: some are drawn, the others on demand.

const rowsAtOnce = 50;

// A column: {title, cell(row), value(row) to sort by, isNumber, isMinor}. `state` outlives a drawing: sorting, rows shown.
function drawTable(place, { caption, columns, rows, state }) {
  state.shown = state.shown || rowsAtOnce;
  const sorted = rows.slice();
  const by = columns.find((column) => column.title === state.sort);
  if (by) {
    const sign = state.descends ? -1 : 1;
    sorted.sort((left, right) => {
      const [one, other] = [by.value(left), by.value(right)];
      if (one === other) return 0;
      // What is not known comes last, whichever way.
      if (one === undefined || Number.isNaN(one)) return 1;
      if (other === undefined || Number.isNaN(other)) return -1;
      return (one < other ? -1 : 1) * sign;
    });
  }
  const draw = () => drawTable(place, { caption, columns, rows, state });
  keepingFocus(place, () => {
    const head = element("tr", {}, columns.map((column) => heading(column, state, draw)));
    const body = element("tbody", {}, sorted.slice(0, state.shown).map((row) =>
      element("tr", {}, columns.map((column) =>
        element("td", { class: classOf(column) }, column.cell(row))))));
    const table = element("table", {}, element("caption", {}, caption), element("thead", {}, head), body);
    const more = sorted.length - state.shown;
    fill(place,
      element("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": "Table: " + displayText(caption) }, table),
      more > 0 && element("button", {
        "data-key": "more",
        onclick: () => { state.shown += rowsAtOnce; draw(); },
      }, "Show " + Math.min(more, rowsAtOnce) + " more of " + more.toLocaleString("en")));
  });
}

function classOf(column) {
  return [column.isNumber && "number", column.isMinor && "minor", column.isLong && "long"].filter(Boolean).join(" ")
    || undefined;
}

function heading(column, state, draw) {
  if (!column.value) return element("th", { scope: "col", class: classOf(column) }, column.title);
  const isSorted = state.sort === column.title;
  const turn = () => {
    state.descends = isSorted ? !state.descends : Boolean(column.isNumber);
    state.sort = column.title;
    draw();
  };
  return element("th", {
    scope: "col", class: classOf(column),
    "aria-sort": isSorted ? (state.descends ? "descending" : "ascending") : undefined,
  }, element("button", { class: "sort", "data-key": "sort " + column.title, onclick: turn },
    column.title, element("span", { "aria-hidden": "true" }, isSorted ? (state.descends ? " ↓" : " ↑") : "")));
}
