/* Puts the parts together. */

function setUpCompare() {
  if (!scenes.length) return;
  byId("compare-images").hidden = false;
  setUpControls();
  setUpKeys();
  setUpBars();
  listeners.push(showChoices, showPanes, soon(showBars));
  window.addEventListener("resize", redraw);
  new ResizeObserver(redraw).observe(byId("pane-row"));
}

setUpState();
setUpCompare();
for (const part of parts) part();
listeners.forEach((listener) => listener({}));

/* What is below the first screen is made ready in short tasks, one after the other. */
const later = [...document.querySelectorAll(".table")].flatMap((box) => [() => setUpTable(box), () => setUpScrolling(box)]);
later.push(setUpVerdicts, setUpZoom, setUpFilter);

function workOff(deadline) {
  while (later.length && deadline.timeRemaining() > 4) later.shift()();
  if (later.length) requestIdleCallback(workOff, { timeout: 200 });
  else document.documentElement.dataset.ready = "yes";
}

wholePage.then(() => {
  for (const box of document.querySelectorAll(".table")) if (!later.length) setUpScrolling(box);
  requestIdleCallback(workOff, { timeout: 200 });
});
