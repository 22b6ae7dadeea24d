/* Two to four panes of one view, which zoom and move together; the last two can share one, with a divider between. */

const MAX_PANES = 4;
const viewer = { panes: [], pointer: null, drawn: 0 };

const titleOf = (variant) => (variant === "truth" ? "truth" : page.runs.find((run) => run.variant === variant)?.title ?? variant);

function pictureTitle(name) {
  const [kind, variant] = kindOf(name);
  return kind ? `${kind} of ${titleOf(variant)}` : titleOf(variant);
}

function scoreOf(variant, metric, level = state.level, view = state.view) {
  const run = runsOf(state.scene).find((one) => one.variant === variant);
  if (!run) return null;
  const data = runData(run);
  return data[metric]?.[data.levels.indexOf(level)]?.[data.places.get(view)] ?? null;
}

function scoresText(variant) {
  const metrics = datasetOf(state.scene).metrics.map((metric) => [metric, scoreOf(variant, metric)]);
  return metrics.filter(([, value]) => value !== null).map(([metric, value]) => `${page.metrics[metric].title} ${shown(metric, value)}`).join(", ");
}

/* What each pane shows: one picture, or the two that the divider separates. */
function paneContents() {
  if (state.divide === null || state.show.length < 2) return state.show.map((name) => [name]);
  return [...state.show.slice(0, -2).map((name) => [name]), state.show.slice(-2)];
}

function sizeOfSet() {
  const { level, scene, view } = state;
  const set = findSet(scene, level, view) ?? setsOf(scene).find((one) => one.view === view) ?? setsOf(scene)[0];
  return set ? [set.width, set.height] : [1, 1];
}

/* Where the whole picture lies in a canvas of this size. */
function placeOf(width, height) {
  return [width / 2 - state.x * width * state.zoom, height / 2 - state.y * height * state.zoom, width * state.zoom, height * state.zoom];
}

function drawPane(pane, contents, pictures) {
  const canvas = pane.canvas;
  const context = canvas.getContext("2d");
  const [width, height] = [canvas.width, canvas.height];
  context.clearRect(0, 0, width, height);
  const place = placeOf(width, height);
  contents.forEach((name, i) => {
    const picture = pictures[i];
    context.save();
    if (contents.length > 1) {
      const at = state.divide / 100 * width;
      context.beginPath();
      context.rect(i ? at : 0, 0, i ? width - at : at, height);
      context.clip();
    }
    if (picture) {
      // Pixels are shown as they are, unless there are more of them than the screen has.
      context.imageSmoothingEnabled = place[2] < picture.width;
      context.imageSmoothingQuality = "high";
      context.drawImage(picture.canvas, ...place);
    }
    context.restore();
  });
  if (viewer.pointer) {
    const [x, y] = [place[0] + viewer.pointer[0] * place[2], place[1] + viewer.pointer[1] * place[3]];
    context.lineWidth = Math.max(1, devicePixelRatio);
    for (const [color, shift] of [["#000a", 1], ["#fffc", 0]]) {
      context.strokeStyle = color;
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + 5 * dx * devicePixelRatio + shift, y + 5 * dy * devicePixelRatio + shift);
        context.lineTo(x + 13 * dx * devicePixelRatio + shift, y + 13 * dy * devicePixelRatio + shift);
      }
      context.stroke();
    }
  }
}

/* The canvas has as many pixels as the screen has there. */
function fitCanvas(canvas) {
  const width = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
  const height = Math.max(1, Math.round(canvas.clientHeight * devicePixelRatio));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
}

async function drawPanes() {
  const turn = ++viewer.drawn;
  const contents = paneContents();
  const pictures = await Promise.all(contents.map((names) => Promise.all(names.map((name) => shownPicture(name, state)))));
  // What has been asked for meanwhile is drawn by whoever asked.
  if (turn !== viewer.drawn) return;
  contents.forEach((names, i) => {
    const pane = viewer.panes[i];
    pane.pictures = pictures[i];
    fitCanvas(pane.canvas);
    drawPane(pane, names, pictures[i]);
    pane.divider.style.left = `${state.divide}%`;
    pane.missing.hidden = pictures[i].every(Boolean);
    if (!pane.missing.hidden) pane.missing.textContent = missingText(names[pictures[i].findIndex((picture) => !picture)]);
    pane.canvas.setAttribute("aria-label", names.map((name) => `${pictureTitle(name)}, ${state.scene}, test view ${state.view}, resolution ${levelName(state.level)}`).join("; right of the divider: "));
    showValues(pane, names);
  });
  byId("compare-images").dataset.drawn = turn;
}

function missingText(name) {
  const [kind, variant] = kindOf(name);
  const run = runsOf(state.scene).find((one) => one.variant === variant);
  const file = String(state.view).padStart(3, "0") + (kind === "depth" ? "_depth" : kind === "opacity" ? "_acc" : "");
  const where = run ? `results/${run.dataset}/${run.variant}/${run.scene}/level_${state.level}/renderings/${file}.png` : "the data of the scene";
  return `${pictureTitle(name)}: view ${state.view} at ${levelName(state.level)} is not in this page. It is in ${where}`;
}

/* Below each pane, what its picture has under the pointer. */
function showValues(pane, names) {
  pane.values.textContent = names.map((name, i) => {
    const picture = pane.pictures?.[i];
    if (!picture) return "";
    if (viewer.pointer) return valueAt(picture, ...viewer.pointer);
    return picture.values ? `${rounded(picture.low, 2)} to ${rounded(picture.high, 2)}` : "";
  }).filter(Boolean).join(" | ");
}

const redraw = oncePerFrame(() => { drawPanes(); drawLoupe(); });

function makePane() {
  const canvas = make("canvas", { role: "img", "aria-label": "" });
  const divider = make("span", { class: "divider", "aria-hidden": "true" });
  const missing = make("p", { class: "missing", hidden: true });
  const stage = make("div", { class: "stage" }, canvas, divider, missing);
  const range = make("input", { type: "range", class: "divide", min: 0, max: 100, step: 0.5, "aria-label": "Divider" });
  const selects = [0, 1].map((i) => make("select", { "aria-label": i ? "Right of the divider" : "Shown here" }));
  const scores = [make("span", { class: "scores" }), make("span", { class: "scores" })];
  const values = make("output", { class: "values" });
  const sides = selects.map((select, i) => make("span", { class: "side" }, select, scores[i]));
  const figure = make("figure", { class: "pane" }, stage, range, make("figcaption", {}, ...sides, values));
  const pane = { figure, stage, canvas, divider, missing, range, selects, sides, scores, values, pictures: [] };
  selects.forEach((select, side) => select.addEventListener("change", () => {
    const show = [...state.show];
    show[viewer.panes.indexOf(pane) + side] = select.value;
    setState({ show });
  }));
  range.addEventListener("input", () => setState({ divide: Number(range.value) }, false));
  const toPicture = (x, y) => [state.x + (x / canvas.clientWidth - 0.5) / state.zoom, state.y + (y / canvas.clientHeight - 0.5) / state.zoom];
  let isDividing = false;
  stage.addEventListener("pointerdown", (event) => {
    const left = stage.getBoundingClientRect().left + state.divide / 100 * stage.clientWidth;
    isDividing = !divider.hidden && event.isPrimary && Math.abs(event.clientX - left) < (event.pointerType === "touch" ? 28 : 14);
  }, { capture: true });
  onGestures(stage, {
    zoom: (factor, x, y) => zoomAround(factor, ...toPicture(x, y)),
    move: (dx, dy) => {
      if (isDividing) setState({ divide: state.divide + 100 * dx / stage.clientWidth }, false);
      else moveBy(-dx / canvas.clientWidth, -dy / canvas.clientHeight);
    },
    hover: (x, y) => {
      viewer.pointer = x === null ? null : toPicture(x, y).map((value) => clamp(value, 0, 1));
      redraw();
    },
  });
  return pane;
}

/* Zooms so that the point (x, y) of the picture stays where it is; tells whether anything changed. */
function zoomAround(factor, x = state.x, y = state.y) {
  const zoom = clamp(state.zoom * factor, 1, MAX_ZOOM);
  if (zoom === state.zoom) return false;
  const share = state.zoom / zoom;
  setState({ zoom, x: x - (x - state.x) * share, y: y - (y - state.y) * share }, false);
  return true;
}

function moveBy(dx, dy) {
  setState({ x: state.x + dx / state.zoom, y: state.y + dy / state.zoom }, false);
}

function fillSelect(select, values, titles, chosen) {
  const key = JSON.stringify([values, titles]);
  if (select.dataset.key !== key) {
    select.replaceChildren(...values.map((value, i) => new Option(titles[i], value)));
    select.dataset.key = key;
  }
  select.value = chosen;
}

function showPanes() {
  const root = byId("pane-row");
  const contents = paneContents();
  byId("no-pictures").hidden = contents.length > 0;
  while (viewer.panes.length < contents.length) viewer.panes.push(makePane());
  const wanted = viewer.panes.slice(0, contents.length).map((pane) => pane.figure);
  if (wanted.length !== root.children.length || wanted.some((figure, i) => root.children[i] !== figure)) root.replaceChildren(...wanted);
  const [width, height] = sizeOfSet();
  root.style.setProperty("--panes", contents.length);
  root.style.setProperty("--aspect", width / height);
  const names = pictureNames(state.scene);
  const titles = names.map(pictureTitle);
  contents.forEach((shownHere, i) => {
    const pane = viewer.panes[i];
    const isDivided = shownHere.length > 1;
    pane.figure.classList.toggle("divided", isDivided);
    pane.divider.hidden = pane.range.hidden = pane.sides[1].hidden = !isDivided;
    pane.selects[0].setAttribute("aria-label", isDivided ? "Left of the divider" : `Shown in pane ${i + 1}`);
    if (isDivided) {
      pane.range.value = state.divide;
      pane.range.setAttribute("aria-valuetext", `${Math.round(state.divide)} percent ${pictureTitle(shownHere[0])}`);
    }
    shownHere.forEach((name, side) => {
      fillSelect(pane.selects[side], names, titles, name);
      const [kind, variant] = kindOf(name);
      pane.scores[side].textContent = kind ? "" : scoresText(variant);
    });
  });
  redraw();
}
