/* A page of runs that still train looks for a new one: it is loaded again, as a page from disk can read no other file.
   What is shown is in the address, so that it stays; who is at work is not disturbed. */

const QUIET = 5000; // milliseconds since the last movement or key

function setUpRenewal() {
  const button = byId("renewal");
  if (!page.renewal || !button) return;
  let last = performance.now();
  const stored = (value) => {
    try {
      if (value !== undefined) sessionStorage.setItem("renewal", value);
      return sessionStorage.getItem("renewal");
    } catch {
      return value ?? null;
    }
  };
  let isOn = stored() !== "off";
  const show = () => button.setAttribute("aria-pressed", isOn);
  button.addEventListener("click", () => {
    isOn = !isOn;
    stored(isOn ? "on" : "off");
    show();
  });
  show();
  for (const kind of ["pointermove", "pointerdown", "keydown", "wheel", "touchmove"]) {
    document.addEventListener(kind, () => { last = performance.now(); }, { passive: true });
  }
  setInterval(() => {
    const isQuiet = performance.now() - last > QUIET;
    if (isOn && isQuiet && performance.now() > page.renewal * 1000 && !document.hidden) location.reload();
  }, 1000);
}

parts.push(setUpRenewal);
