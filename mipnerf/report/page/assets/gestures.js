/* Wheel, pinch, drag and keys on an element, as zooming by a factor around a point and moving, both in its pixels. */

function onGestures(element, { zoom, move, hover = () => {}, mayMove = () => true }) {
  const pointers = new Map();
  const at = (event) => {
    const box = element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  element.addEventListener("wheel", (event) => {
    // Who cannot zoom out any further wants to scroll the page.
    if (zoom(Math.exp(-event.deltaY / 400), ...at(event))) event.preventDefault();
  }, { passive: false });
  element.addEventListener("dblclick", (event) => zoom(2, ...at(event)));
  element.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button !== 0) return;
    pointers.set(event.pointerId, at(event));
    if (mayMove()) element.setPointerCapture(event.pointerId);
  });
  element.addEventListener("pointermove", (event) => {
    const now = at(event);
    if (event.pointerType === "mouse" || pointers.size < 2) hover(...now);
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
      zoom(apart(now) / apart(before), ...other);
      move((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    } else {
      move(now[0] - before[0], now[1] - before[1]);
    }
    pointers.set(event.pointerId, now);
  });
  for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
    element.addEventListener(kind, (event) => pointers.delete(event.pointerId));
  }
  element.addEventListener("pointerleave", () => hover(null));
}
