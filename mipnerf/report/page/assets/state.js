/* What is shown is in the address, so that a link reproduces it; back and forward go through it. */

const listeners = [];
const state = { scene: "", level: 0, view: 0, show: [], divide: 50, zoom: 1, x: 0.5, y: 0.5, metric: "psnr", loupe: false, angle: 0, away: 0 };
const MAX_ZOOM = 64;

const setsByScene = Map.groupBy(page.sets, (set) => set.scene);
const setsOf = (scene) => setsByScene.get(scene) ?? [];
const findSet = (scene, level, view) => setsOf(scene).find((set) => set.level === level && set.view === view);
const viewsOf = (scene) => page.views[scene] ?? [];

/* The truth, the best and the ablation at the coarsest level: what the page begins with. */
function defaults(scene) {
  const dataset = datasetOf(scene);
  const sets = setsOf(scene);
  const level = Math.max(0, ...sets.map((set) => set.level));
  const views = [...new Set(sets.filter((set) => set.level === level).map((set) => set.view))];
  const names = Object.keys((sets[0] ?? { pictures: {} }).pictures);
  const show = ["truth", ...dataset.contrast.filter((name) => names.includes(name))];
  for (const name of names) if (show.length < Math.min(3, names.length) && !show.includes(name)) show.push(name);
  const middle = page.middle[scene];
  const view = views.includes(middle) ? middle : views[Math.floor(views.length / 2)] ?? viewsOf(scene)[0] ?? 0;
  return { scene, level, view, show, divide: 50, zoom: 1, x: 0.5, y: 0.5, metric: "psnr", loupe: false, angle: 0, away: 0 };
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

function normalise() {
  const dataset = datasetOf(state.scene);
  state.level = clamp(Math.round(state.level), 0, dataset.levels - 1);
  if (!viewsOf(state.scene).includes(state.view)) state.view = defaults(state.scene).view;
  const known = pictureNames(state.scene);
  const kept = state.show.filter((name) => known.includes(name)).slice(0, 4);
  state.show = kept.length >= Math.min(2, known.length) ? kept : defaults(state.scene).show;
  if (!dataset.metrics.includes(state.metric)) state.metric = dataset.metrics[0];
  state.zoom = clamp(state.zoom, 1, MAX_ZOOM);
  const margin = 0.5 / state.zoom;
  state.x = clamp(state.x, margin, 1 - margin);
  state.y = clamp(state.y, margin, 1 - margin);
  if (state.divide !== null) state.divide = clamp(state.divide, 0, 100);
  const [around] = orbitsOf(state.scene);
  state.angle = around ? (Math.round(state.angle) % around.frames + around.frames) % around.frames : 0;
  state.away = around ? clamp(Math.round(state.away), 0, around.sheets.length - 1) : 0;
}

/* Every picture that a pane can show of a scene: the truth, renderings, errors, depths and opacities. */
function pictureNames(scene) {
  const variants = [...new Set(setsOf(scene).flatMap((set) => Object.keys(set.pictures)))].filter((name) => name !== "truth");
  if (!variants.length) return [];
  const maps = new Set(page.maps.filter((map) => map.scene === scene).map((map) => map.variant));
  const mapped = variants.filter((variant) => maps.has(variant));
  return [
    "truth", ...variants, ...variants.map((variant) => `error:${variant}`),
    ...mapped.map((variant) => `depth:${variant}`), ...mapped.map((variant) => `opacity:${variant}`),
  ];
}

function address() {
  const parts = { scene: state.scene, level: state.level, view: state.view, show: state.show.join(","), metric: state.metric };
  parts.divide = state.divide === null ? "off" : +state.divide.toFixed(1);
  if (state.zoom > 1) Object.assign(parts, { zoom: +state.zoom.toFixed(3), x: +state.x.toFixed(4), y: +state.y.toFixed(4) });
  if (state.loupe) parts.loupe = 1;
  if (state.angle || state.away) Object.assign(parts, { angle: state.angle, away: state.away });
  return "#" + Object.entries(parts).map(([key, value]) => `${key}=${encodeURIComponent(value).replaceAll("%2F", "/").replaceAll("%2C", ",").replaceAll("%3A", ":")}`).join("&");
}

function readAddress() {
  const given = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  if (!given.scene || !scenes.includes(given.scene)) return false;
  Object.assign(state, defaults(given.scene));
  for (const key of ["level", "view", "zoom", "x", "y", "angle", "away"]) {
    if (given[key] !== undefined && Number.isFinite(Number(given[key]))) state[key] = Number(given[key]);
  }
  if (given.show) state.show = given.show.split(",");
  if (given.metric) state.metric = given.metric;
  state.divide = given.divide === "off" ? null : Number.isFinite(Number(given.divide)) && given.divide ? Number(given.divide) : 50;
  state.loupe = given.loupe === "1";
  normalise();
  return true;
}

let pending = 0;

/* Puts what is shown into the address: as a step that can be gone back, or in place of the last one. */
function remember(isStep) {
  clearTimeout(pending);
  if (isStep) history.pushState(null, "", address());
  // Browsers refuse to be told of hundreds of changes a second.
  else pending = setTimeout(() => history.replaceState(null, "", address()), 150);
}

/* Changes what is shown. A step of its own can be gone back; moving and zooming replace the last one. */
function setState(changes, isStep = true) {
  if (changes.scene && changes.scene !== state.scene) {
    const { level, metric, divide, loupe } = state;
    Object.assign(state, defaults(changes.scene), { level, metric, divide, loupe });
  }
  Object.assign(state, changes);
  normalise();
  listeners.forEach((listener) => listener(changes));
  remember(isStep);
}

function setUpState() {
  if (!scenes.length) return;
  const first = scenes.find((scene) => setsOf(scene).length) ?? scenes[0];
  if (!readAddress()) {
    Object.assign(state, defaults(first));
    normalise();
  }
  window.addEventListener("popstate", () => {
    clearTimeout(pending);
    if (location.hash.includes("scene=")) readAddress();
    else if (location.hash === "") Object.assign(state, defaults(first));
    else return;
    normalise();
    listeners.forEach((listener) => listener({}));
  });
}
