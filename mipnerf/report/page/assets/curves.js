/* What is plotted of the runs: training, quality against resolution and cost, and differences from what was published. */

const plotted = { x: "step" };
const styleOf = (dataset, method) => ({ color: colorOf(dataset, method), dash: DASHES[dataset.methods.indexOf(method) % DASHES.length] });
const isMean = (dataset) => dataset.results.some((row) => row.scene === "mean");

/* The rows of the mean over scenes, or of the only scene. */
function meanRows(dataset, metric) {
  const place = isMean(dataset) ? "mean" : dataset.scenes[0];
  return dataset.results.filter((row) => row.metric === metric && row.scene === place);
}

function plotTraining() {
  const dataset = datasetOf(state.scene);
  const x = plotted.x;
  const pairs = (curve) => curve[x].map((at, i) => [at, curve.psnr[i]]);
  const series = runsOf(state.scene).flatMap((run) => {
    const data = runData(run);
    const style = styleOf(dataset, run.method);
    const name = run.title;
    return [
      { ...style, name, group: name, points: pairs(data.training) },
      { ...style, name: `${name}, validation`, group: name, points: pairs(data.validation), line: false, marker: "hollow" },
    ].filter((one) => one.points.length);
  });
  byId("training-scene").textContent = state.scene;
  byId("plot-training").hidden = !series.length;
  byId("no-training").hidden = series.length > 0;
  if (!series.length) return;
  drawPlot(byId("plot-training"), {
    label: `PSNR of ${state.scene} against ${x === "step" ? "steps" : "minutes"} of training`,
    x: { label: x === "step" ? "step" : "training time (minutes)" },
    y: { label: "PSNR (dB)" },
    series,
    text: (found) => (found.length ? `${x === "step" ? `step ${Math.round(found[0].point[0]).toLocaleString("en")}` : `minute ${rounded(found[0].point[0], 1)}`}: ` +
      found.map((one) => `${one.name} ${rounded(one.point[1], 2)}`).join("; ") : ""),
  });
}

function plotLevels(root, dataset, metric) {
  const rows = meanRows(dataset, metric).filter((row) => row.level !== "mean" && row.value !== null);
  const levels = Array.from({ length: dataset.levels }, (_, level) => level);
  const series = dataset.methods.flatMap((method) => {
    const own = rows.filter((row) => row.variant === method).map((row) => [Number(row.level), row.value, row.spread]);
    const jax = rows.filter((row) => row.variant === method && row.jax !== null).map((row) => [Number(row.level), row.jax]);
    const name = dataset.titles[method];
    return [
      { ...styleOf(dataset, method), name, group: name, points: own, marker: "full" },
      { ...styleOf(dataset, method), name: `${name}, published`, group: name, points: jax, dash: "1 4", marker: "hollow" },
    ].filter((one) => one.points.length);
  });
  drawPlot(root, {
    label: `${page.metrics[metric].title} against resolution`,
    x: { label: "resolution", names: levels.map(levelName), range: [0, Math.max(1, dataset.levels - 1)], pad: 0.06 },
    y: { label: page.metrics[metric].title + (metric === "psnr" ? " (dB)" : "") },
    series,
    reach: 2,
    text: (found) => (found.length ? `${levelName(found[0].point[0])}: ` +
      found.map((one) => `${one.name} ${shown(metric, one.point[1])}${one.point[2] ? ` ± ${shown(metric, one.point[2])}` : ""}`).join("; ") : ""),
  });
}

function plotCost(root, dataset, key) {
  const known = dataset.costs.filter((row) => row[key] !== null && row.psnr !== null);
  root.closest("figure").hidden = !known.length;
  if (!known.length) return;
  const isShort = key === "hours" && Math.max(...known.map((row) => row.hours)) < 2;
  const factor = isShort ? 60 : 1;
  const label = key === "samples" ? "samples in training" : `training time (${isShort ? "minutes" : "hours"})`;
  drawPlot(root, {
    label: `Average PSNR against ${label}`,
    x: { label, isLog: true },
    y: { label: "average PSNR (dB)" },
    series: known.map((row) => {
      const name = dataset.titles[row.method] + (row.published ? ", published" : "");
      return { ...styleOf(dataset, row.method), name, group: dataset.titles[row.method], points: [[factor * row[key], row.psnr, row.spread]], line: false, marker: row.published ? "hollow" : "full" };
    }),
    text: (found) => found.map((one) => `${one.name}: ${rounded(one.point[1], 2)} dB, ${shortNumber(one.point[0])} ${key === "samples" ? "samples" : isShort ? "minutes" : "hours"}`).join("; "),
  });
}

function plotDeltas(root, dataset, metric) {
  const rows = dataset.results.filter((row) => row.metric === metric && row.level === "mean" && row.jax !== null && row.value !== null);
  root.closest("figure").hidden = !rows.length;
  if (!rows.length) return;
  const places = [...new Set(rows.map((row) => row.scene))].reverse();
  const deltas = rows.map((row) => row.value - row.jax);
  drawPlot(root, {
    label: `${page.metrics[metric].title}, ours minus published`,
    x: { label: `Δ ${page.metrics[metric].title}, ours − published; ${page.metrics[metric].better} is better`, range: [...deltas, 0], pad: 0.08 },
    y: { names: places, range: [0, Math.max(1, places.length - 1)], pad: 0.5 },
    zero: true,
    reach: 3,
    series: dataset.methods.map((method) => ({
      ...styleOf(dataset, method), name: dataset.titles[method], group: dataset.titles[method], line: false, marker: "full",
      points: rows.filter((row) => row.variant === method).map((row) => [row.value - row.jax, places.indexOf(row.scene), row.spread]),
    })).filter((one) => one.points.length),
    text: (found) => found.map((one) => `${one.name}, ${places[one.point[1]]}: ${one.point[0] > 0 ? "+" : ""}${shown(metric, one.point[0])}`).join("; "),
  });
}

/* The plots of one dataset, those of the scene that is looked at. */
function plotDataset() {
  const dataset = datasetOf(state.scene);
  plotLevels(byId("plot-levels"), dataset, state.metric);
  if (!plotted.isSeen) return;
  byId("plotted-dataset").textContent = ` of ${dataset.name}`;
  plotCost(byId("plot-hours"), dataset, "hours");
  plotCost(byId("plot-samples"), dataset, "samples");
  plotDeltas(byId("plot-deltas"), dataset, state.metric);
  plotTraining();
}

parts.push(() => {
  if (!scenes.length) return;
  let last = "";
  const plotAgain = () => {
    const key = `${state.scene}|${state.metric}`;
    if (key === last) return;
    last = key;
    plotDataset();
  };
  listeners.push(soon(plotAgain));
  whenSeen(byId("section-curves"), () => { plotted.isSeen = true; plotDataset(); });
  for (const button of document.querySelectorAll("[data-curve-x]")) {
    button.addEventListener("click", () => {
      plotted.x = button.dataset.curveX;
      for (const other of document.querySelectorAll("[data-curve-x]")) other.setAttribute("aria-pressed", other === button);
      plotTraining();
    });
  }
});
