/* Tables: headings sort, a field filters rows, buttons copy what is shown, and a verdict gives its reason. */

function cellValue(row, index) {
  const cell = row.cells[index];
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  const text = cell.textContent.trim();
  return text === "—" || text === "" ? null : text;
}

function compareValues(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

/* Of a long table, so many rows are laid out until all are asked for, and as many more a frame then. */
const MANY_ROWS = 60;

const isShown = (row) => !row.hidden && !row.classList.contains("folded");

/* Folds what comes after the first rows; the function that is returned does it again after a sort or a filter. */
function makeFoldable(box, table) {
  const { rows } = table.tBodies[0];
  if (rows.length <= 1.5 * MANY_ROWS) return () => {};
  const button = make("button", { type: "button", class: "unfold" });
  box.querySelector(".edge").after(button);
  let room = MANY_ROWS;
  const fold = () => {
    const found = [...rows].filter((row) => !row.hidden);
    found.forEach((row, i) => row.classList.toggle("folded", i >= room));
    button.hidden = found.length <= room;
    button.textContent = `Show all ${found.length} rows`;
  };
  const more = () => {
    room += MANY_ROWS;
    fold();
    if (!button.hidden) requestAnimationFrame(more);
  };
  button.addEventListener("click", () => {
    more();
    table.parentElement.focus();
  });
  fold();
  return fold;
}

/* A click on a heading sorts, a second one turns the order, a third restores the first. */
function makeSortable(table, fold) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const body = table.tBodies[0];
  const original = [...body.rows];
  original.forEach((row, i) => { row.dataset.row = i; });
  if (original.length < 2) return;
  heads.forEach((head, index) => {
    const button = make("button", { type: "button" }, ...head.childNodes);
    head.append(button);
    const first = head.dataset.better === "higher" ? "descending" : "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const next = now === null ? first : now === first ? second : null;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (next) head.setAttribute("aria-sort", next);
      const sign = next === "descending" ? -1 : 1;
      const keyed = original.map((row) => [cellValue(row, index), row]);
      if (next) {
        keyed.sort(([left], [right]) => {
          if (left === null || right === null) return (left === null) - (right === null);
          return sign * compareValues(left, right);
        });
      }
      body.append(...keyed.map(([, row]) => row));
      table.classList.toggle("sorted", next !== null);
      fold();
    });
  });
}

/* Leaves the rows that have all words of the field. */
function makeFilterable(table, input, fold) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length < 4) input.parentElement.hidden = true;
  const texts = rows.map((row) => row.textContent.toLowerCase());
  input.addEventListener("input", oncePerFrame(() => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row, i) => { row.hidden = !words.every((word) => texts[i].includes(word)); });
    fold();
    announce(`${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`);
  }));
}

/* The rows that are found, in their order, in the words of the files: heads and rows come as they are written there. */
function tableText(table, format) {
  const parts = JSON.parse(byId(`copy-${table.id}`).textContent)[format];
  const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => Number(row.dataset.row));
  const isWhole = rows.length === parts.rows.length && rows.every((row, i) => row === i);
  const lines = rows.map((row) => (isWhole && parts.breaks.includes(row) ? parts.gap : "") + parts.rows[row]);
  return parts.head + lines.join("") + parts.tail;
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A page from disk may not be trusted with the clipboard.
    const area = make("textarea", { value: text, class: "offscreen" });
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

function setUpTable(box) {
  const table = box.querySelector("table");
  // Without this script, the browser's own tooltip has to do.
  for (const cell of table.querySelectorAll("td[title]")) {
    cell.dataset.verdict = cell.title;
    cell.removeAttribute("title");
  }
  const fold = makeFoldable(box, table);
  makeSortable(table, fold);
  const tools = box.querySelector(".tools");
  tools.hidden = false;
  for (const button of tools.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      await copyText(tableText(table, button.dataset.copy));
      announce(`Copied as ${button.textContent}: ${table.caption.textContent}`);
      button.classList.add("done");
      setTimeout(() => button.classList.remove("done"), 1500);
    });
  }
  makeFilterable(table, tools.querySelector("input"), fold);
}

/* The verdict of a number appears beside it, by pointer and by focus. */
function setUpVerdicts() {
  const tip = byId("tip");
  let cell = null;
  const hide = () => {
    cell?.removeAttribute("aria-describedby");
    cell = null;
    tip.hidden = true;
  };
  const show = (event) => {
    const found = event.target.closest?.("td[data-verdict]");
    if (!found) return hide();
    cell = found;
    tip.textContent = found.dataset.verdict;
    tip.hidden = false;
    found.setAttribute("aria-describedby", "tip");
    const box = found.getBoundingClientRect();
    tip.style.left = `${clamp(box.left, 8, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = box.bottom + tip.offsetHeight + 8 < innerHeight ? `${box.bottom + 4}px` : `${box.top - tip.offsetHeight - 4}px`;
  };
  for (const kind of ["focusin", "pointerover"]) document.addEventListener(kind, show);
  for (const kind of ["focusout", "scroll"]) document.addEventListener(kind, hide, { capture: true, passive: true });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  /* One cell of a table can be reached by Tab, the others from it by the arrow keys. */
  document.querySelectorAll("main table").forEach((table) => {
    const first = table.querySelector("td[data-verdict]");
    if (first) first.tabIndex = 0;
  });
  document.addEventListener("keydown", (event) => {
    const from = event.target.closest?.("td[data-verdict]");
    const [down, right] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[event.key] ?? [];
    if (!from || down === undefined) return;
    event.preventDefault();
    let [row, column] = [from.parentElement.sectionRowIndex, from.cellIndex];
    const { rows } = from.closest("tbody");
    for (;;) {
      [row, column] = [row + down, column + right];
      const cell = rows[row]?.cells[column];
      if (!cell) return;
      if (!cell.dataset.verdict || !isShown(rows[row])) continue;
      from.tabIndex = -1;
      cell.tabIndex = 0;
      cell.focus();
      return;
    }
  });
}

/* A box that scrolls says on which side there is more. */
function setUpScrolling(box) {
  const scroll = box.querySelector(".scroll");
  if (!scroll) return;
  const mark = () => {
    box.classList.toggle("more-right", scroll.scrollLeft + scroll.clientWidth < scroll.scrollWidth - 2);
    box.classList.toggle("more-left", scroll.scrollLeft > 2);
  };
  scroll.addEventListener("scroll", mark, { passive: true });
  new ResizeObserver(mark).observe(scroll);
}
