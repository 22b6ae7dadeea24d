/* The scores of every test view as a strip of bars, a strip for each metric; a click opens the view. */

function barVariants() {
  const names = [...new Set(state.show.map((name) => kindOf(name)[1]))].filter((name) => name !== "truth");
  return names.length ? names : runsOf(state.scene).filter((run) => runData(run).views.length).slice(0, 2).map((run) => run.variant);
}

function strip(metric, variants) {
  const views = viewsOf(state.scene);
  const dataset = datasetOf(state.scene);
  const values = variants.map((variant) => views.map((view) => scoreOf(variant, metric, state.level, view)));
  const known = values.flat().filter((value) => value !== null);
  if (!known.length) return null;
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const floor = low - 0.25 * (high - low || 1);
  const title = page.metrics[metric].title;
  const buttons = views.map((view, i) => {
    const bars = variants.map((variant, j) => {
      const bar = make("span", {});
      const value = values[j][i];
      bar.style.height = value === null ? "0" : `${100 * (value - floor) / (high - floor || 1)}%`;
      bar.style.background = colorOf(dataset, runsOf(state.scene).find((run) => run.variant === variant).method);
      return bar;
    });
    const text = variants.map((variant, j) => `${titleOf(variant)} ${shown(metric, values[j][i])}`).join(", ");
    const isHere = view === state.view;
    const button = make("button", { type: "button", class: "bar-view", title: `view ${view}: ${title} ${text}`, tabIndex: isHere ? 0 : -1, "aria-label": `view ${view}, ${title}: ${text}`, "aria-pressed": String(isHere) }, ...bars);
    button.dataset.view = view;
    return button;
  });
  const row = make("div", { class: "bars", role: "group", "aria-label": `${title} of every test view` }, ...buttons);
  const ends = make("span", { class: "ends" }, make("span", {}, shown(metric, high)), make("span", {}, shown(metric, low)));
  const isChosen = metric === state.metric;
  return make("div", { class: isChosen ? "strip chosen" : "strip" }, make("span", { class: "strip-title" }, `${title} by view at ${levelName(state.level)}`), ends, row);
}

/* One strip after the other, each in a task of its own: there may be hundreds of views. */
function showBars() {
  const root = byId("view-bars");
  const variants = barVariants();
  const key = [state.scene, state.level, state.metric, ...variants].join("|");
  if (root.dataset.key === key) return markBars();
  root.dataset.key = key;
  const metrics = datasetOf(state.scene).metrics;
  const boxes = metrics.map(() => make("div", { class: "strip-box" }));
  root.replaceChildren(...boxes);
  metrics.forEach((metric, i) => setTimeout(() => {
    if (root.dataset.key === key) boxes[i].replaceChildren(...[strip(metric, variants)].filter(Boolean));
  }));
}

function markBars() {
  for (const button of document.querySelectorAll("#view-bars button")) {
    const isHere = Number(button.dataset.view) === state.view;
    if (isHere === (button.tabIndex === 0)) continue;
    button.setAttribute("aria-pressed", isHere);
    button.tabIndex = isHere ? 0 : -1;
  }
}

function setUpBars() {
  const root = byId("view-bars");
  root.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) setState({ view: Number(button.dataset.view) });
  });
  root.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const button = event.target.closest("button");
    if (!by || !button) return;
    event.preventDefault();
    setState({ view: step(viewsOf(state.scene), Number(button.dataset.view), by) });
    [...button.parentElement.children].find((one) => one.tabIndex === 0)?.focus();
  });
}
