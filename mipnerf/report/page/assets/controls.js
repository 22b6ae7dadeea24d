/* The choices above the panes, and the keys that stand for them. */

function step(values, now, by) {
  const i = values.indexOf(now);
  return values[(i + by + values.length) % values.length];
}

/* The view in which the first variant shown is worst or best by the metric at this level. */
function extremeView(isBest) {
  const variant = state.show.map((name) => kindOf(name)[1]).find((name) => name !== "truth") ?? runsOf(state.scene)[0]?.variant;
  const sign = (page.metrics[state.metric].better === "higher") === isBest ? 1 : -1;
  const scored = viewsOf(state.scene).map((view) => [view, scoreOf(variant, state.metric, state.level, view)]).filter(([, value]) => value !== null);
  if (!scored.length) return;
  const [view, value] = scored.reduce((a, b) => (sign * b[1] > sign * a[1] ? b : a));
  setState({ view });
  announce(`${isBest ? "Best" : "Worst"} view of ${titleOf(variant)}: ${view}, ${page.metrics[state.metric].title} ${shown(state.metric, value)}`);
}

function toggleDivider() {
  setState({ divide: state.divide === null ? 50 : null });
}

function changePanes(by) {
  const show = [...state.show];
  if (by < 0 && show.length > 2) show.splice(0, 1);
  else if (by > 0 && show.length < MAX_PANES) {
    const next = pictureNames(state.scene).find((name) => !show.includes(name));
    if (!next) return;
    show.splice(state.divide === null ? show.length : Math.max(0, show.length - 2), 0, next);
  }
  setState({ show });
}

const PAN = 0.15; // of what is seen, with one key
const keys = {
  "]": () => setState({ view: step(viewsOf(state.scene), state.view, 1) }),
  "[": () => setState({ view: step(viewsOf(state.scene), state.view, -1) }),
  s: () => setState({ scene: step(scenes, state.scene, 1) }),
  S: () => setState({ scene: step(scenes, state.scene, -1) }),
  m: () => setState({ metric: step(datasetOf(state.scene).metrics, state.metric, 1) }),
  w: () => extremeView(false),
  b: () => extremeView(true),
  d: toggleDivider,
  l: () => setState({ loupe: !state.loupe }),
  p: () => changePanes(1),
  P: () => changePanes(-1),
  "+": () => zoomAround(1.5),
  "=": () => zoomAround(1.5),
  "-": () => zoomAround(1 / 1.5),
  0: () => setState({ zoom: 1, x: 0.5, y: 0.5 }, false),
  ArrowLeft: () => moveBy(-PAN, 0),
  ArrowRight: () => moveBy(PAN, 0),
  ArrowUp: () => moveBy(0, -PAN),
  ArrowDown: () => moveBy(0, PAN),
};

function setUpKeys() {
  const root = byId("compare-images");
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("zoom-dialog").open) return;
    const target = event.target;
    const isHere = root.contains(target);
    // Elsewhere on the page, keys are what they always are.
    if (!isHere && target !== document.body) return;
    if (target.matches("select, input[type=search], input[type=text]")) return;
    const isArrow = event.key.startsWith("Arrow");
    if (isArrow && (target === document.body || target.matches("input, button.bar-view, [role=radio]"))) return;
    const level = Number(event.key) - 1;
    const action = keys[event.key] ?? (level >= 0 && level < datasetOf(state.scene).levels ? () => setState({ level }) : null);
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function showChoices() {
  const dataset = datasetOf(state.scene);
  // Beside the pictures, what their dataset came to; of all others it is below.
  for (const part of document.querySelectorAll("[data-of]")) part.hidden = part.dataset.of !== dataset.name;
  fillSelect(byId("pick-scene"), scenes, scenes, state.scene);
  const levels = Array.from({ length: dataset.levels }, (_, level) => level);
  fillSelect(byId("pick-level"), levels, levels.map(levelName), state.level);
  const views = viewsOf(state.scene);
  const embedded = new Set(setsOf(state.scene).filter((set) => set.level === state.level).map((set) => set.view));
  fillSelect(byId("pick-view"), views, views.map((view) => (embedded.has(view) ? view : `${view} (numbers only)`)), state.view);
  fillSelect(byId("pick-metric"), dataset.metrics, dataset.metrics.map((metric) => page.metrics[metric].title), state.metric);
  byId("pick-scene").parentElement.hidden = scenes.length < 2;
  byId("compare-images").classList.toggle("zoomed", state.zoom > 1);
  byId("pick-divide").setAttribute("aria-pressed", state.divide !== null);
  byId("pick-loupe").setAttribute("aria-pressed", state.loupe);
  byId("zoom-reset").textContent = `${state.zoom < 10 ? state.zoom.toFixed(1) : Math.round(state.zoom)}×`;
  byId("fewer-panes").disabled = state.show.length <= 2;
  byId("more-panes").disabled = state.show.length >= MAX_PANES || state.show.length >= pictureNames(state.scene).length;
}

function setUpControls() {
  const numbers = { "pick-level": "level", "pick-view": "view" };
  const texts = { "pick-scene": "scene", "pick-metric": "metric" };
  for (const [id, key] of Object.entries(numbers)) byId(id).addEventListener("change", () => setState({ [key]: Number(byId(id).value) }));
  for (const [id, key] of Object.entries(texts)) byId(id).addEventListener("change", () => setState({ [key]: byId(id).value }));
  const buttons = {
    "view-before": keys["["], "view-after": keys["]"], "view-worst": keys.w, "view-best": keys.b,
    "pick-divide": keys.d, "pick-loupe": keys.l, "fewer-panes": keys.P, "more-panes": keys.p,
    "zoom-in": keys["+"], "zoom-out": keys["-"], "zoom-reset": keys[0],
  };
  for (const [id, action] of Object.entries(buttons)) byId(id).addEventListener("click", action);
}
