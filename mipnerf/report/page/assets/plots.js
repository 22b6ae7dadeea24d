/* Plots in SVG: lines and points of several series, which can be switched, with their values under the pointer. */

const PLOT = { height: 240, left: 52, right: 14, top: 10, bottom: 36 };
const DASHES = ["", "7 3", "8 3 2 3", "10 4", "8 3 2 3 2 3", "4 2"];

/* About `count` round numbers from low to high. */
function ticksOf(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  const ticks = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-9; value += step) ticks.push(+value.toPrecision(12));
  return ticks;
}

function logTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++) {
    for (const factor of high / low > 100 ? [1] : [1, 2, 5]) ticks.push(factor * 10 ** power);
  }
  return ticks.filter((value) => value >= low && value <= high);
}

function shortNumber(value) {
  const size = Math.abs(value);
  for (const [limit, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= limit) return `${+(value / limit).toPrecision(4)}${letter}`;
  }
  return String(+value.toPrecision(4));
}

function rangeOf(values, isLog) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (isLog) {
    if (high / low < 4) [low, high] = [low / 2, high * 2];
    return [low / (high / low) ** 0.06, high * (high / low) ** 0.06];
  }
  if (low === high) [low, high] = [low - 1, high + 1];
  return [low, high];
}

/*
 * A plot in `root`. `plot` has: label (of the whole), x and y {label, format, isLog, ticks, names}, series [{name,
 * color, dash, points [[x, y, spread]], marker, line, isFaint, group}]; `group` is what a button of the legend switches.
 */
function drawPlot(root, plot) {
  const hidden = root.hiddenGroups ??= new Set();
  // The first of a group is the sample of all of it.
  const groups = [...Map.groupBy(plot.series, (one) => one.group).values()].map(([first]) => first);
  const box = make("div", { class: "plot-box" });
  const legend = make("div", { class: "legend", role: "group", "aria-label": "Shown" }, ...groups.map((one) => {
    const sample = makeSvg("svg", { width: 26, height: 10, "aria-hidden": "true" });
    if (one.line !== false) sample.append(makeSvg("line", { x1: 0, x2: 26, y1: 5, y2: 5, class: "sample-line", "stroke-dasharray": one.dash ?? "" }));
    if (one.marker) sample.append(makeSvg("circle", { cx: 13, cy: 5, r: 3.5, class: one.marker === "hollow" ? "hollow" : "full" }));
    sample.style.color = one.color;
    const button = make("button", { type: "button", "aria-pressed": String(!hidden.has(one.group)) }, sample, one.group);
    button.addEventListener("click", () => {
      if (!hidden.delete(one.group)) hidden.add(one.group);
      button.setAttribute("aria-pressed", !hidden.has(one.group));
      paint();
    });
    return button;
  }));
  const values = make("output", { class: "plot-values" });
  root.replaceChildren(box, legend, values);
  legend.hidden = groups.length < 2;

  function paint() {
    const width = Math.max(240, box.clientWidth);
    const series = plot.series.filter((one) => !hidden.has(one.group) && one.points.length);
    const svg = makeSvg("svg", { viewBox: `0 0 ${width} ${PLOT.height}`, height: PLOT.height, role: "img", "aria-label": plot.label, tabindex: 0 });
    svg.style.width = "100%";
    const all = series.flatMap((one) => one.points);
    box.replaceChildren(svg);
    values.textContent = "";
    if (!all.length) return;
    const xs = rangeOf(plot.x.range ?? all.map((point) => point[0]), plot.x.isLog);
    const ys = rangeOf(plot.y.range ?? all.flatMap((point) => (point[2] ? [point[1] - point[2], point[1] + point[2]] : [point[1]])), false);
    const pad = plot.y.pad ?? 0.06 * (ys[1] - ys[0]);
    [ys[0], ys[1]] = [ys[0] - pad, ys[1] + pad];
    if (!plot.x.isLog) {
      const side = (plot.x.pad ?? 0.02) * (xs[1] - xs[0]);
      [xs[0], xs[1]] = [xs[0] - side, xs[1] + side];
    }
    const left = plot.y.names ? Math.min(110, width * 0.3) : PLOT.left;
    const share = (value, [low, high], isLog) => (isLog ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));
    const toX = (value) => left + share(value, xs, plot.x.isLog) * (width - left - PLOT.right);
    const toY = (value) => PLOT.height - PLOT.bottom - share(value, ys) * (PLOT.height - PLOT.top - PLOT.bottom);
    const bottom = PLOT.height - PLOT.bottom;
    const xTicks = plot.x.names ? plot.x.names.map((_, i) => i) : plot.x.isLog ? logTicks(...xs) : ticksOf(...xs, Math.max(2, width / 90));
    const yTicks = plot.y.names ? plot.y.names.map((_, i) => i) : ticksOf(...ys, 5);
    for (const tick of yTicks) {
      svg.append(makeSvg("line", { class: "grid", x1: left, x2: width - PLOT.right, y1: toY(tick), y2: toY(tick) }));
      svg.append(makeSvg("text", { class: "tick", x: left - 6, y: toY(tick) + 4, "text-anchor": "end" }, plot.y.names?.[tick] ?? shortNumber(tick)));
    }
    for (const tick of xTicks) {
      if (!plot.x.names) svg.append(makeSvg("line", { class: "grid", x1: toX(tick), x2: toX(tick), y1: PLOT.top, y2: bottom }));
      svg.append(makeSvg("text", { class: "tick", x: toX(tick), y: bottom + 15, "text-anchor": "middle" }, plot.x.names?.[tick] ?? shortNumber(tick)));
    }
    svg.append(makeSvg("text", { class: "axis", x: (left + width) / 2, y: PLOT.height - 4, "text-anchor": "middle" }, plot.x.label));
    if (plot.y.label) svg.append(makeSvg("text", { class: "axis", x: 12, y: PLOT.height / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${PLOT.height / 2})` }, plot.y.label));
    if (plot.zero) svg.append(makeSvg("line", { class: "zero", x1: toX(0), x2: toX(0), y1: PLOT.top, y2: bottom }));
    for (const one of series) {
      const group = makeSvg("g", { class: one.isFaint ? "series faint" : "series" });
      group.style.color = one.color;
      if (one.line !== false) {
        group.append(makeSvg("polyline", { points: one.points.map(([x, y]) => `${toX(x).toFixed(1)},${toY(y).toFixed(1)}`).join(" "), "stroke-dasharray": one.dash ?? "" }));
      }
      for (const [x, y, spread] of one.marker ? one.points : []) {
        if (spread && plot.zero) group.append(makeSvg("line", { class: "spread", x1: toX(x - spread), x2: toX(x + spread), y1: toY(y), y2: toY(y) }));
        else if (spread) group.append(makeSvg("line", { class: "spread", x1: toX(x), x2: toX(x), y1: toY(y - spread), y2: toY(y + spread) }));
        group.append(makeSvg("circle", { cx: toX(x), cy: toY(y), r: one.marker === "hollow" ? 4 : 3.5, class: one.marker === "hollow" ? "hollow" : "full" }));
      }
      svg.append(group);
    }
    const cursor = makeSvg("g", { class: "cursor" });
    svg.append(cursor);
    const at = [...new Set(all.map((point) => toX(point[0])))].sort((a, b) => a - b);
    let here = -1;
    const show = (i) => {
      here = i;
      cursor.replaceChildren();
      values.textContent = "";
      if (i < 0) return;
      const place = at[i];
      if (!plot.zero) cursor.append(makeSvg("line", { x1: place, x2: place, y1: PLOT.top, y2: bottom }));
      const texts = series.filter((one) => !one.isFaint).flatMap((one) => {
        const near = one.points.reduce((a, b) => (Math.abs(toX(b[0]) - place) < Math.abs(toX(a[0]) - place) ? b : a));
        if (Math.abs(toX(near[0]) - place) > (plot.reach ?? 8)) return [];
        cursor.append(makeSvg("circle", { cx: toX(near[0]), cy: toY(near[1]), r: 5 }));
        return [{ name: one.name, point: near }];
      });
      values.textContent = plot.text(texts);
    };
    const nearest = (x) => at.reduce((best, place, i) => (Math.abs(place - x) < Math.abs(at[best] - x) ? i : best), 0);
    svg.addEventListener("pointermove", (event) => {
      const bounds = svg.getBoundingClientRect();
      show(nearest((event.clientX - bounds.left) * width / bounds.width));
    });
    svg.addEventListener("pointerleave", () => show(-1));
    svg.addEventListener("focus", () => here < 0 && svg.matches(":focus-visible") && show(at.length - 1));
    svg.addEventListener("blur", () => show(-1));
    svg.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by) return;
      event.preventDefault();
      event.stopPropagation();
      show(clamp(here + by, 0, at.length - 1));
    });
  }
  root.paint = paint;
  paint();
  root.observer ??= new ResizeObserver(oncePerFrame(() => root.paint()));
  root.observer.observe(root);
}
