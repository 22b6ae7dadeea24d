/* Pictures are decoded when they are looked at; of those, as many are kept as fit into a bounded memory. */

const KEPT_PIXELS = 12e6;
const CLIPPED_SHARE = 0.005; // of the pixels, whose error may exceed the colour scale
const decoded = new Map(); // by name, the least recently used first

function tableOfColors(text) {
  return Array.from({ length: 256 }, (_, i) => [0, 2, 4].map((j) => parseInt(text.slice(6 * i + j, 6 * i + j + 2), 16)));
}
const colors = Object.fromEntries(Object.entries(page.colors).map(([name, text]) => [name, tableOfColors(text)]));

function kept(name, load) {
  const found = decoded.get(name) ?? load();
  decoded.delete(name);
  decoded.set(name, found);
  found.then((picture) => {
    if (!picture) return decoded.delete(name);
    found.pixels = picture.width * picture.height;
    let total = 0;
    for (const [key, other] of [...decoded].reverse()) {
      total += other.pixels ?? 0;
      if (total > KEPT_PIXELS && other.pixels) decoded.delete(key);
    }
  });
  return found;
}

/* The embedded file called `id`, once the page is read so far. */
async function elementOf(id) {
  if (!byId(id)) await wholePage;
  return byId(id);
}

/* A picture with its pixels [4 W H]; nothing where the page has none. */
function pictureOf(id) {
  return kept(id, async () => {
    const element = await elementOf(id);
    if (!element) return null;
    const image = new Image();
    image.src = `data:${element.type.split(";")[0]};base64,${element.textContent}`;
    await image.decode();
    const canvas = make("canvas", { width: image.naturalWidth, height: image.naturalHeight });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return { canvas, width: canvas.width, height: canvas.height, data: context.getImageData(0, 0, canvas.width, canvas.height).data };
  });
}

/* Values [W H] in colours from `low` to `high`; `isGap` tells which have none. */
function coloured(width, height, values, low, high, name, isGap = () => false) {
  const canvas = make("canvas", { width, height });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const lookup = colors[name];
  for (let i = 0; i < values.length; i++) {
    if (isGap(i) || Number.isNaN(values[i])) continue;
    const share = clamp((values[i] - low) / (high - low || 1), 0, 1);
    const [red, green, blue] = lookup[Math.round(255 * share)];
    image.data.set([red, green, blue, 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
  return { canvas, width, height, values, low, high, colors: name, isGap };
}

async function errorValues(set, variant) {
  const [truth, rendering] = await Promise.all([pictureOf(set.pictures.truth), pictureOf(set.pictures[variant])]);
  if (!truth || !rendering) return null;
  const values = new Float32Array(truth.width * truth.height);
  const [a, b] = [truth.data, rendering.data];
  for (let i = 0; i < values.length; i++) {
    const j = 4 * i;
    if (a[j + 3] === 0) values[i] = NaN; // masked
    else values[i] = (Math.abs(a[j] - b[j]) + Math.abs(a[j + 1] - b[j + 1]) + Math.abs(a[j + 2] - b[j + 2])) / 765;
  }
  return { width: truth.width, height: truth.height, values };
}

function largestOf(values) {
  const sorted = Float32Array.from(values.filter((value) => !Number.isNaN(value))).sort();
  if (!sorted.length) return 0;
  return sorted[Math.floor((1 - CLIPPED_SHARE) * (sorted.length - 1))];
}

/* The mean absolute difference of the channels; one scale for all variants that are shown. */
async function errorPicture(set, variant, among) {
  const all = await Promise.all(among.map((name) => errorValues(set, name)));
  const high = Math.max(...all.map((error) => (error ? largestOf(error.values) : 0))) || 1;
  const own = all[among.indexOf(variant)];
  return own && coloured(own.width, own.height, own.values, 0, high, "magma");
}

async function mapPicture(map, kind) {
  const picture = map && map[kind] && await pictureOf(map[kind]);
  if (!picture) return null;
  const levels = Float32Array.from({ length: picture.width * picture.height }, (_, i) => picture.data[4 * i]);
  if (kind === "opacity") return coloured(picture.width, picture.height, levels.map((level) => level / 255), 0, 1, "gray");
  const values = levels.map((level) => map.low + (level - 1) / 254 * (map.high - map.low));
  return coloured(picture.width, picture.height, values, map.low, map.high, "viridis", (i) => levels[i] === 0);
}

const DERIVED = /^(error|depth|opacity):(.*)$/s;
const kindOf = (name) => DERIVED.exec(name)?.slice(1) ?? ["", name];

/* What a pane shows under `name`: `truth`, a variant, `error:V`, `depth:V` or `opacity:V`. */
async function shownPicture(name, { scene, level, view, show }) {
  const [kind, variant] = kindOf(name);
  const set = findSet(scene, level, view);
  if (kind === "depth" || kind === "opacity") {
    return mapPicture(page.maps.find((map) => map.scene === scene && map.level === level && map.view === view && map.variant === variant), kind);
  }
  if (!set) return null;
  if (!kind) return set.pictures[name] ? pictureOf(set.pictures[name]) : null;
  const among = show.filter((other) => other.startsWith("error:")).map((other) => other.slice(6));
  const key = [scene, level, view, variant, ...among].join("|");
  return kept(key, () => errorPicture(set, variant, among));
}

/* What a picture has at (x, y) in [0, 1]: the text, and the column and row. */
function valueAt(picture, x, y) {
  const column = clamp(Math.floor(x * picture.width), 0, picture.width - 1);
  const row = clamp(Math.floor(y * picture.height), 0, picture.height - 1);
  const i = row * picture.width + column;
  if (picture.values) return picture.isGap(i) ? "—" : rounded(picture.values[i], 3);
  return [...picture.data.slice(4 * i, 4 * i + 3)].join(" ");
}
