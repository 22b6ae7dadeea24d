/* What all parts of the page use: elements, the embedded data, numbers as text. */

/* What is set up once the panes are there; each file adds its own. */
const parts = [];

const byId = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") element.className = value;
    else if (key.includes("-") || key === "role" || key === "for") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children);
  return element;
}

function makeSvg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const page = JSON.parse(byId("page-data").textContent);
const datasetOf = (scene) => page.datasets.find((dataset) => scene.startsWith(`${dataset.name}/`) && dataset.scenes.includes(scene.slice(dataset.name.length + 1)));
const scenes = page.datasets.flatMap((dataset) => dataset.scenes.map((scene) => `${dataset.name}/${scene}`));
const byScene = Map.groupBy(page.runs, (run) => `${run.dataset}/${run.scene}`);
const runsOf = (scene) => byScene.get(scene) ?? [];
const levelName = (level) => (level ? `1/${2 ** level}` : "Full");

/* Elements that come later in the file are there once it is read. */
const wholePage = new Promise((resolve) => {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", resolve, { once: true });
  else resolve();
});

const parsedRuns = new Map();

/* The views and curves of a run: parsed when they are first looked at, as 200 runs are megabytes. */
function runData(run) {
  if (!parsedRuns.has(run.element)) {
    const data = JSON.parse(byId(run.element).textContent);
    data.places = new Map(data.views.map((view, i) => [view, i]));
    parsedRuns.set(run.element, data);
  }
  return parsedRuns.get(run.element);
}

/* `value` with so many decimals, a tie to the even digit, as the tables are rounded. */
function rounded(value, decimals) {
  if (value === null || value === undefined || Number.isNaN(value)) return "—";
  const text = value.toFixed(decimals);
  const isTie = value.toFixed(decimals + 30).endsWith("5" + "0".repeat(29));
  if (!isTie || Number(text.at(-1)) % 2 === 0) return text;
  return (value - Math.sign(value) * 0.5 * 10 ** -decimals).toFixed(decimals);
}

const shown = (metric, value) => rounded(value, page.metrics[metric].decimals);

/* A method and its seeds share a colour. */
function colorOf(dataset, method) {
  return `var(--c${dataset.methods.indexOf(method) % 9})`;
}

/* Calls `task` at most once a frame, however often it is asked for. */
function oncePerFrame(task) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; task(); });
  };
}

/* Calls `task` soon, in a task of its own, and once however often it is asked for meanwhile. */
function soon(task) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    setTimeout(() => { asked = false; task(); });
  };
}

/* Calls `task` when `element` comes near the part of the page that is seen. */
function whenSeen(element, task) {
  const observer = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    task();
  }, { rootMargin: "300px" });
  observer.observe(element);
}

function announce(text) {
  byId("announcement").textContent = text;
}
