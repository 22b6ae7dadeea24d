/* Around the scene and away from it: frames of all variants at the same pose. */

const orbit = { panes: [], scene: null };
const orbitsOf = (scene) => page.orbits.filter((one) => one.scene === scene);

async function drawOrbit() {
  const { scene, angle, away } = state;
  const shownHere = orbitsOf(scene);
  byId("orbit-angle").value = angle;
  byId("orbit-angle").setAttribute("aria-valuetext", `${Math.round(360 * angle / shownHere[0].frames)} degrees`);
  byId("orbit-level").value = away;
  byId("orbit-level").setAttribute("aria-valuetext", levelName(away));
  byId("orbit-text").textContent = away ? `${levelName(away)}: a pixel covers ${4 ** away} times as much as near by` : "Full: near by";
  const sheets = await Promise.all(shownHere.map((one) => pictureOf(one.sheets[away])));
  if (scene !== state.scene || angle !== state.angle || away !== state.away) return;
  shownHere.forEach((one, i) => {
    const canvas = orbit.panes[i];
    const [width, height] = one.sizes[away];
    Object.assign(canvas, { width, height });
    const [x, y] = [angle % one.columns, Math.floor(angle / one.columns)];
    if (sheets[i]) canvas.getContext("2d").drawImage(sheets[i].canvas, -x * width, -y * height);
    canvas.dataset.frame = `${angle}/${away}`;
  });
}

const redrawOrbit = oncePerFrame(drawOrbit);

/* Only the orbit is drawn again, and whether it could be moved is told. */
function moveOrbit(changes) {
  const { angle, away } = state;
  Object.assign(state, changes);
  normalise();
  if (angle === state.angle && away === state.away) return false;
  redrawOrbit();
  remember(false);
  return true;
}

function showOrbits() {
  const shownHere = orbitsOf(state.scene);
  byId("orbit-box").hidden = !shownHere.length;
  byId("no-orbit").hidden = shownHere.length > 0;
  if (!shownHere.length) return;
  if (orbit.scene !== state.scene || orbit.panes[0].dataset.frame !== `${state.angle}/${state.away}`) redrawOrbit();
  if (orbit.scene === state.scene) return;
  orbit.scene = state.scene;
  byId("orbit-angle").max = shownHere[0].frames - 1;
  byId("orbit-level").max = shownHere[0].sheets.length - 1;
  const [width, height] = shownHere[0].sizes[0];
  orbit.panes = shownHere.map((one) => make("canvas", { role: "img", "aria-label": `${titleOf(one.variant)} from around ${one.scene}` }));
  byId("orbit-panes").style.setProperty("--aspect", width / height);
  byId("orbit-panes").style.setProperty("--count", shownHere.length);
  byId("orbit-panes").replaceChildren(...shownHere.map((one, i) =>
    make("figure", { class: "orbit-pane" }, orbit.panes[i], make("figcaption", {}, titleOf(one.variant)))));
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
      return moveOrbit({ away: state.away + by });
    },
    move: (dx) => {
      turned -= dx * orbitsOf(state.scene)[0].frames / 400;
      const by = Math.trunc(turned);
      turned -= by;
      if (by) moveOrbit({ angle: state.angle + by });
    },
  });
  byId("orbit-angle").addEventListener("input", () => moveOrbit({ angle: Number(byId("orbit-angle").value) }));
  byId("orbit-level").addEventListener("input", () => moveOrbit({ away: Number(byId("orbit-level").value) }));
  whenSeen(byId("section-orbit"), () => {
    showOrbits();
    listeners.push(showOrbits);
  });
});
