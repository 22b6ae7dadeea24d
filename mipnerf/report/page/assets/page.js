"use strict";

/* Tables: a click on a heading sorts, a second one turns the order, a third restores the first. */

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

function makeSortable(table) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const body = table.tBodies[0];
  const original = [...body.rows];
  if (original.length < 2) return;
  heads.forEach((head, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    const first = head.dataset.better === "higher" ? "descending" : "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const next = now === null ? first : now === first ? second : null;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (next) head.setAttribute("aria-sort", next);
      const sign = next === "descending" ? -1 : 1;
      const rows = next === null ? original : [...original].sort((a, b) => {
        const [left, right] = [cellValue(a, index), cellValue(b, index)];
        if (left === null || right === null) return (left === null) - (right === null);
        return sign * compareValues(left, right);
      });
      body.append(...rows);
      table.classList.toggle("sorted", next !== null);
    });
  });
}

document.querySelectorAll("main table").forEach(makeSortable);

/* Two images of one view, one over the other, with a divider between them. */

function setUpComparison() {
  const sets = JSON.parse(document.getElementById("image-data").textContent);
  const root = document.getElementById("compare-images");
  if (!root || !sets.length) return;
  const choice = Object.fromEntries(["scene", "level", "view", "left", "right"].map((id) => [id, document.getElementById(`pick-${id}`)]));
  const stage = root.querySelector(".stage");
  const images = { left: stage.querySelector("img.left"), right: stage.querySelector("img.right") };
  const captions = { left: document.getElementById("left-caption"), right: document.getElementById("right-caption") };
  const range = document.getElementById("the-divider");
  const difference = document.getElementById("pick-difference");

  function fill(select, values, preferred) {
    const wanted = values.includes(select.value) ? select.value : preferred;
    select.replaceChildren(...values.map((value) => new Option(value, value)));
    select.value = wanted;
    select.parentElement.hidden = values.length < 2;
  }

  const distinct = (key, among) => [...new Set(among.map((set) => String(set[key])))];

  function divide() {
    const share = Number(range.value);
    images.left.style.clipPath = `inset(0 ${100 - share}% 0 0)`;
    stage.querySelector(".divider").style.left = `${share}%`;
    range.setAttribute("aria-valuetext", `${Math.round(share)} percent ${choice.left.value}`);
  }

  function show() {
    const scenes = distinct("scene", sets);
    fill(choice.scene, scenes, scenes[0]);
    const ofScene = sets.filter((set) => set.scene === choice.scene.value);
    const levels = distinct("level", ofScene);
    fill(choice.level, levels, levels[0]);
    const ofLevel = ofScene.filter((set) => set.level === choice.level.value);
    const views = distinct("view", ofLevel);
    fill(choice.view, views, views[Math.floor(views.length / 2)]);
    const set = ofLevel.find((one) => String(one.view) === choice.view.value);
    const names = set.pictures.map((picture) => picture.name);
    fill(choice.left, names, names[1] ?? names[0]);
    fill(choice.right, names, names[2] ?? names[0]);
    for (const side of ["left", "right"]) {
      const picture = set.pictures.find((one) => one.name === choice[side].value);
      images[side].src = picture.source;
      images[side].alt = `${picture.name}, ${set.scene}, test view ${set.view}, resolution ${set.level}`;
      images[side].width = set.width;
      images[side].height = set.height;
      images[side].classList.toggle("pixels", set.width < stage.clientWidth * devicePixelRatio);
      captions[side].textContent = [picture.name, picture.scores].filter(Boolean).join(": ");
    }
    stage.classList.toggle("difference", difference.checked);
    stage.style.filter = difference.checked ? "brightness(4)" : "";
    range.disabled = difference.checked;
    divide();
  }

  root.hidden = false;
  [...Object.values(choice), difference].forEach((input) => input.addEventListener("change", show));
  range.addEventListener("input", divide);
  window.addEventListener("resize", show);
  show();
}

setUpComparison();

/* Figures open in a dialog, where they can be enlarged and moved. */

function setUpZoom() {
  const dialog = document.getElementById("zoom-dialog");
  const canvas = dialog.querySelector(".canvas");
  const image = canvas.querySelector("img");
  const pointers = new Map();
  let scale = 1, x = 0, y = 0, least = 1;

  function draw() {
    // A new width, not a scaling, has the browser draw an SVG anew.
    image.style.width = `${image.naturalWidth * scale}px`;
    image.style.transform = `translate(${x}px, ${y}px)`;
    dialog.dataset.scale = (scale / least).toFixed(2);
  }

  function fit() {
    least = Math.min(canvas.clientWidth / image.naturalWidth, canvas.clientHeight / image.naturalHeight) * 0.97;
    scale = least;
    x = (canvas.clientWidth - image.naturalWidth * scale) / 2;
    y = (canvas.clientHeight - image.naturalHeight * scale) / 2;
    draw();
  }

  function zoom(factor, atX = canvas.clientWidth / 2, atY = canvas.clientHeight / 2) {
    const next = Math.min(Math.max(scale * factor, least), least * 40);
    x = atX - (atX - x) * (next / scale);
    y = atY - (atY - y) * (next / scale);
    scale = next;
    draw();
  }

  function move(dx, dy) {
    x += dx;
    y += dy;
    draw();
  }

  function open(source) {
    image.alt = source.alt;
    image.src = source.src;
    dialog.showModal();
    canvas.focus();
    image.decode().then(fit, fit);
  }

  const at = (event) => [event.clientX - canvas.getBoundingClientRect().left, event.clientY - canvas.getBoundingClientRect().top];

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), ...at(event));
  }, { passive: false });
  canvas.addEventListener("dblclick", (event) => zoom(2, ...at(event)));
  canvas.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    canvas.focus();
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = at(event);
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
      zoom(apart(now) / apart(before), ...other);
    } else {
      move(now[0] - before[0], now[1] - before[1]);
    }
    pointers.set(event.pointerId, now);
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, (event) => pointers.delete(event.pointerId));
  }
  const actions = { in: () => zoom(1.5), out: () => zoom(1 / 1.5), reset: fit, close: () => dialog.close() };
  dialog.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", actions[button.dataset.zoom]));
  const keys = {
    "+": actions.in, "=": actions.in, "-": actions.out, "0": fit,
    ArrowLeft: () => move(60, 0), ArrowRight: () => move(-60, 0), ArrowUp: () => move(0, 60), ArrowDown: () => move(0, -60),
  };
  dialog.addEventListener("keydown", (event) => {
    if (keys[event.key] && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      keys[event.key]();
    }
  });
  window.addEventListener("resize", () => dialog.open && fit());

  document.querySelectorAll(".zoomable img").forEach((picture) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-label", `Enlarge: ${picture.alt}`);
    picture.replaceWith(button);
    button.append(picture);
    button.addEventListener("click", () => open(picture));
  });
}

setUpZoom();

/* Many runs: show those whose name has what was typed. */

function setUpFilter() {
  const runs = [...document.querySelectorAll("details.run")];
  const input = document.getElementById("run-filter");
  if (runs.length < 6) return;
  input.closest("label").hidden = false;
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    runs.forEach((run) => { run.hidden = !words.every((word) => run.dataset.name.toLowerCase().includes(word)); });
  });
}

setUpFilter();
