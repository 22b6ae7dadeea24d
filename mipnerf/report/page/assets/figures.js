/* Figures open in a dialog, where they can be enlarged and moved. */

function setUpZoom() {
  const dialog = byId("zoom-dialog");
  const canvas = dialog.querySelector(".canvas");
  const image = canvas.querySelector("img");
  let scale = 1, x = 0, y = 0, least = 1;

  function draw() {
    // A new width, not a scaling, has the browser draw an SVG anew.
    image.style.width = `${image.naturalWidth * scale}px`;
    image.style.transform = `translate(${x}px, ${y}px)`;
    dialog.dataset.scale = (scale / least).toFixed(2);
  }

  function fit() {
    least = Math.min(canvas.clientWidth / image.naturalWidth, canvas.clientHeight / image.naturalHeight) * 0.97;
    scale = least;
    x = (canvas.clientWidth - image.naturalWidth * scale) / 2;
    y = (canvas.clientHeight - image.naturalHeight * scale) / 2;
    draw();
  }

  function zoom(factor, atX = canvas.clientWidth / 2, atY = canvas.clientHeight / 2) {
    const next = clamp(scale * factor, least, least * 40);
    x = atX - (atX - x) * (next / scale);
    y = atY - (atY - y) * (next / scale);
    scale = next;
    draw();
    return true;
  }

  function move(dx, dy) {
    x += dx;
    y += dy;
    draw();
  }

  function open(source) {
    image.alt = source.alt;
    image.src = source.src;
    dialog.showModal();
    canvas.focus();
    image.decode().then(fit, fit);
  }

  onGestures(canvas, { zoom, move });
  const actions = { in: () => zoom(1.5), out: () => zoom(1 / 1.5), reset: fit, close: () => dialog.close() };
  dialog.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", actions[button.dataset.zoom]));
  const moves = {
    "+": actions.in, "=": actions.in, "-": actions.out, "0": fit,
    ArrowLeft: () => move(60, 0), ArrowRight: () => move(-60, 0), ArrowUp: () => move(0, 60), ArrowDown: () => move(0, -60),
  };
  dialog.addEventListener("keydown", (event) => {
    if (moves[event.key] && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      moves[event.key]();
    }
  });
  window.addEventListener("resize", () => dialog.open && fit());

  document.querySelectorAll(".zoomable img").forEach((picture) => {
    const button = make("button", { type: "button", "aria-label": `Enlarge: ${picture.alt}` });
    picture.replaceWith(button);
    button.append(picture);
    button.addEventListener("click", () => open(picture));
  });
}

/* Many runs: show those whose name has what was typed. */
function setUpFilter() {
  const runs = [...document.querySelectorAll("details.run")];
  const input = byId("run-filter");
  if (runs.length < 6) return;
  input.closest("label").hidden = false;
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    runs.forEach((run) => { run.hidden = !words.every((word) => run.dataset.name.toLowerCase().includes(word)); });
  });
}
