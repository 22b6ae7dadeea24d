/* Around the scene and away from it: frames of all variants at the same pose. */

const orbit = { frame: 0, level: 0, panes: [], scene: null };
const orbitsOf = (scene) => page.orbits.filter((one) => one.scene === scene);

async function drawOrbit() {
  const shownHere = orbitsOf(orbit.scene);
  const { frame, level } = orbit;
  byId("orbit-angle").value = frame;
  byId("orbit-angle").setAttribute("aria-valuetext", `${Math.round(360 * frame / shownHere[0].frames)} degrees`);
  byId("orbit-level").value = level;
  byId("orbit-level").setAttribute("aria-valuetext", levelName(level));
  byId("orbit-text").textContent = level ? `${levelName(level)}: a pixel covers ${4 ** level} times as much as near by` : "Full: near by";
  const sheets = await Promise.all(shownHere.map((one) => pictureOf(one.sheets[level])));
  if (frame !== orbit.frame || level !== orbit.level) return;
  shownHere.forEach((one, i) => {
    const canvas = orbit.panes[i];
    const [width, height] = one.sizes[level];
    Object.assign(canvas, { width, height });
    const [x, y] = [frame % one.columns, Math.floor(frame / one.columns)];
    if (sheets[i]) canvas.getContext("2d").drawImage(sheets[i].canvas, -x * width, -y * height);
    canvas.dataset.frame = `${frame}/${level}`;
  });
}

const redrawOrbit = oncePerFrame(drawOrbit);

function turnOrbit(by) {
  const count = orbitsOf(orbit.scene)[0].frames;
  orbit.frame = (Math.round(orbit.frame + by) % count + count) % count;
  redrawOrbit();
}

function awayOrbit(by) {
  const before = orbit.level;
  orbit.level = clamp(orbit.level + by, 0, orbitsOf(orbit.scene)[0].sheets.length - 1);
  redrawOrbit();
  return orbit.level !== before;
}

function showOrbits() {
  const shownHere = orbitsOf(state.scene);
  byId("orbit-box").hidden = !shownHere.length;
  byId("no-orbit").hidden = shownHere.length > 0;
  if (!shownHere.length || orbit.scene === state.scene) return;
  orbit.scene = state.scene;
  orbit.frame = 0;
  byId("orbit-angle").max = shownHere[0].frames - 1;
  byId("orbit-level").max = shownHere[0].sheets.length - 1;
  const [width, height] = shownHere[0].sizes[0];
  orbit.panes = shownHere.map((one) => make("canvas", { role: "img", "aria-label": `${titleOf(one.variant)} from around ${one.scene}` }));
  byId("orbit-panes").style.setProperty("--aspect", width / height);
  byId("orbit-panes").style.setProperty("--count", shownHere.length);
  byId("orbit-panes").replaceChildren(...shownHere.map((one, i) =>
    make("figure", { class: "orbit-pane" }, orbit.panes[i], make("figcaption", {}, titleOf(one.variant)))));
  redrawOrbit();
}

/* A video takes its content when it is near. */
function setUpVideos() {
  for (const video of document.querySelectorAll("video[data-file]")) {
    whenSeen(video, async () => {
      const [file, poster] = await Promise.all([elementOf(video.dataset.file), video.dataset.poster && elementOf(video.dataset.poster)]);
      if (poster) video.poster = `data:${poster.type};base64,${poster.textContent}`;
      video.src = `data:${file.type};base64,${file.textContent}`;
    });
  }
}

parts.push(() => {
  setUpVideos();
  if (!scenes.length) return;
  let turned = 0, pulled = 0;
  const root = byId("orbit-panes");
  onGestures(root, {
    zoom: (factor) => {
      pulled += Math.log(factor);
      if (Math.abs(pulled) < 0.2) return true;
      const by = pulled < 0 ? 1 : -1;
      pulled = 0;
      return awayOrbit(by);
    },
    move: (dx) => {
      turned -= dx * orbitsOf(orbit.scene)[0].frames / 400;
      const by = Math.trunc(turned);
      turned -= by;
      if (by) turnOrbit(by);
    },
  });
  byId("orbit-angle").addEventListener("input", () => { orbit.frame = Number(byId("orbit-angle").value); redrawOrbit(); });
  byId("orbit-level").addEventListener("input", () => { orbit.level = Number(byId("orbit-level").value); redrawOrbit(); });
  whenSeen(byId("section-orbit"), () => {
    showOrbits();
    listeners.push(showOrbits);
  });
});
