/* Learning in pictures: what each variant made of one view, step by step. */

async function drawHalf(canvas, id, isRight) {
  const picture = await pictureOf(id);
  if (!picture) return;
  const width = picture.width / 2;
  canvas.width = width;
  canvas.height = picture.height;
  canvas.getContext("2d").drawImage(picture.canvas, isRight ? -width : 0, 0);
}

function filmCell(frame, isRight, label, words) {
  const canvas = make("canvas", { role: "img", "aria-label": words });
  drawHalf(canvas, frame.file, isRight);
  return make("figure", {}, canvas, make("figcaption", {}, ...label));
}

function showFilms() {
  const films = page.films.filter((frame) => frame.scene === state.scene);
  const root = byId("films");
  byId("section-learning").hidden = !page.films.length;
  if (root.dataset.scene === state.scene) return;
  root.dataset.scene = state.scene;
  byId("no-film").hidden = films.length > 0;
  root.replaceChildren(...[...new Set(films.map((frame) => frame.variant))].map((variant) => {
    const own = films.filter((frame) => frame.variant === variant);
    const last = own.at(-1);
    const cells = own.map((frame) => filmCell(frame, true, [make("b", {}, frame.step.toLocaleString("en")), ` ${shown("psnr", frame.psnr)} dB`],
      `${titleOf(variant)} after step ${frame.step}, PSNR ${shown("psnr", frame.psnr)}`));
    cells.unshift(filmCell(last, false, ["truth"], `truth of view ${last.view} at ${levelName(last.level)}`));
    const film = make("div", { class: "film", tabIndex: 0, role: "group", "aria-label": `Training of ${titleOf(variant)}, step by step` }, ...cells);
    return make("div", { class: "film-row" }, make("h3", {}, titleOf(variant)), film);
  }));
}

parts.push(() => {
  if (!page.films.length) {
    byId("section-learning").hidden = true;
    return;
  }
  whenSeen(byId("section-learning"), () => {
    showFilms();
    listeners.push(showFilms);
  });
});
