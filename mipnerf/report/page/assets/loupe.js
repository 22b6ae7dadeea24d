/* The loupe: the same few pixels of all levels beside each other, for every picture that is shown. */

const LOUPE_PIXELS = 7; // of the coarsest level, along a side

async function drawLoupe() {
  const root = byId("loupe");
  root.hidden = !state.loupe;
  if (!state.loupe) return;
  const { scene, view } = state;
  const [x, y] = viewer.pointer ?? [state.x, state.y];
  const sets = setsOf(scene).filter((set) => set.view === view).sort((a, b) => a.level - b.level);
  const names = state.show.filter((name) => !kindOf(name)[0] || kindOf(name)[0] === "error");
  if (!sets.length) return;
  const coarsest = sets.at(-1);
  const share = Math.min(1, LOUPE_PIXELS / Math.min(coarsest.width, coarsest.height));
  const aspect = coarsest.width / coarsest.height;
  const [w, h] = aspect > 1 ? [share / aspect, share] : [share, share * aspect];
  const corner = [clamp(x - w / 2, 0, 1 - w), clamp(y - h / 2, 0, 1 - h)];
  const pictures = await Promise.all(names.map((name) => Promise.all(sets.map((set) => shownPicture(name, { ...state, level: set.level })))));
  const key = JSON.stringify([names, sets.map((set) => set.level)]);
  if (root.dataset.key !== key) {
    root.dataset.key = key;
    const head = make("tr", {}, make("td"), ...sets.map((set) => make("th", { scope: "col" }, levelName(set.level))));
    const rows = names.map((name) => make("tr", {}, make("th", { scope: "row" }, pictureTitle(name)),
      ...sets.map((set) => make("td", {}, make("canvas", { role: "img", "aria-label": `${pictureTitle(name)} at ${levelName(set.level)}, enlarged` })))));
    root.querySelector("table").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
  }
  const canvases = [...root.querySelectorAll("canvas")];
  pictures.flat().forEach((picture, i) => {
    const canvas = canvases[i];
    if (!canvas) return;
    fitCanvas(canvas);
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!picture) return;
    context.imageSmoothingEnabled = false;
    context.drawImage(picture.canvas, corner[0] * picture.width, corner[1] * picture.height, w * picture.width, h * picture.height, 0, 0, canvas.width, canvas.height);
  });
}
