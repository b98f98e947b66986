// Conformers in space: balls and sticks on a canvas, laid over each other, turned by the pointer or
// the arrow keys.
const ELEMENTS = { H: "#b8b8b8", C: "#555555", N: "#3050f8", O: "#e0200d", F: "#50a020", S: "#c8a000",
  Cl: "#1f9a1f", P: "#e07000", Br: "#a62929", I: "#940094", B: "#d08080", Si: "#a08050" };
const SHADES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];

function element(name, text, className) {
  const e = document.createElement(name);
  if (text !== undefined) e.textContent = text;
  if (className) e.className = className;
  return e;
}

class Space {
  constructor(box, conformers) {
    this.conformers = conformers.map(c => ({ ...c, coords: centred(c.coords), shown: true }));
    this.align();
    this.turn = [0.4, 0.5];
    this.canvas = element("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", "Conformers in 3D. The arrow keys turn them.");
    box.append(this.canvas, this.legend());
    this.canvas.addEventListener("pointerdown", e => this.canvas.setPointerCapture(e.pointerId));
    this.canvas.addEventListener("pointermove", e => {
      if (e.buttons) this.rotate(e.movementX / 100, e.movementY / 100);
    });
    this.canvas.addEventListener("keydown", e => {
      const by = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15] }[e.key];
      if (by) { e.preventDefault(); this.rotate(...by); }
    });
    this.draw();
  }

  rotate(x, y) {
    this.turn = [this.turn[0] + x, this.turn[1] + y];
    this.draw();
  }

  // align turns each conformer onto the first, by its inertia: a rough overlay for the eye.
  align() {
    const first = this.conformers[0];
    for (const c of this.conformers.slice(1)) c.coords = overlaid(c.coords, first.coords, c.symbols);
  }

  legend() {
    const list = element("ul", undefined, "legend");
    const least = Math.min(...this.conformers.map(c => c.result));
    this.conformers.forEach((c, k) => {
      const label = element("label"), check = element("input"), mark = element("i");
      check.type = "checkbox";
      check.checked = true;
      check.addEventListener("change", () => { c.shown = check.checked; this.draw(); });
      mark.style.background = SHADES[k % SHADES.length];
      label.append(check, mark, "conformer " + (k + 1) + ": +" + (c.result - least).toFixed(2) + " kcal/mol");
      const item = element("li");
      item.append(label);
      list.append(item);
    });
    return list;
  }

  draw() {
    const ratio = devicePixelRatio || 1, w = 420, h = 320;
    this.canvas.width = w * ratio;
    this.canvas.height = h * ratio;
    const g = this.canvas.getContext("2d");
    g.scale(ratio, ratio);
    const [a, b] = this.turn, far = Math.max(1, ...this.conformers.flatMap(c => c.coords.map(Math.abs)));
    const zoom = Math.min(w, h) / 2.6 / far, parts = [];
    this.conformers.forEach((c, k) => {
      if (!c.shown) return;
      const at = c.symbols.map((_, i) => turned(c.coords.slice(3 * i, 3 * i + 3), a, b));
      const place = p => [w / 2 + p[0] * zoom, h / 2 - p[1] * zoom, p[2]];
      for (const [i, j] of c.bonds) {
        parts.push({ z: (at[i][2] + at[j][2]) / 2 - 0.1, from: place(at[i]), to: place(at[j]), color: SHADES[k % SHADES.length] });
      }
      at.forEach((p, i) => parts.push({ z: p[2], at: place(p), color: ELEMENTS[c.symbols[i]] || "#b000b0", r: c.symbols[i] === "H" ? 3 : 5 }));
    });
    parts.sort((p, q) => p.z - q.z);
    g.lineCap = "round";
    for (const p of parts) {
      g.beginPath();
      if (p.at) {
        g.fillStyle = p.color;
        g.arc(p.at[0], p.at[1], p.r * (1 + p.z / far / 4), 0, 7);
        g.fill();
      } else {
        g.strokeStyle = p.color;
        g.lineWidth = 3;
        g.moveTo(p.from[0], p.from[1]);
        g.lineTo(p.to[0], p.to[1]);
        g.stroke();
      }
    }
  }
}

function centred(coords) {
  const n = coords.length / 3, mean = [0, 0, 0];
  coords.forEach((v, i) => { mean[i % 3] += v / n; });
  return coords.map((v, i) => v - mean[i % 3]);
}

function turned([x, y, z], a, b) {
  const x1 = x * Math.cos(a) + z * Math.sin(a), z1 = z * Math.cos(a) - x * Math.sin(a);
  return [x1, y * Math.cos(b) - z1 * Math.sin(b), z1 * Math.cos(b) + y * Math.sin(b)];
}

// overlaid rotates coords so that the heavy atoms lie on those of target as well as they can
// (B. K. P. Horn, J. Opt. Soc. Am. A 4, 629 (1987)): the largest eigenvector of Horn's matrix, by
// iteration, is the quaternion of the rotation.
function overlaid(coords, target, symbols) {
  const s = [[0, 0, 0], [0, 0, 0], [0, 0, 0]];
  symbols.forEach((symbol, i) => {
    if (symbol === "H" && symbols.length > 3) return;
    for (let p = 0; p < 3; p++) for (let q = 0; q < 3; q++) s[p][q] += coords[3 * i + p] * target[3 * i + q];
  });
  const [[xx, xy, xz], [yx, yy, yz], [zx, zy, zz]] = s;
  const m = [[xx + yy + zz, yz - zy, zx - xz, xy - yx], [yz - zy, xx - yy - zz, xy + yx, zx + xz],
    [zx - xz, xy + yx, yy - xx - zz, yz + zy], [xy - yx, zx + xz, yz + zy, zz - xx - yy]];
  const shift = 4 * Math.max(1, ...m.flat().map(Math.abs));
  let v = [1, 0.01, 0.02, 0.03];
  for (let k = 0; k < 500; k++) {
    v = m.map((row, i) => row.reduce((sum, c, j) => sum + c * v[j], shift * v[i]));
    const norm = Math.hypot(...v);
    v = v.map(c => c / norm);
  }
  const [w, x, y, z] = v;
  const r = [[w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
    [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
    [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z]];
  return coords.map((_, i) => {
    const row = r[i % 3], at = i - i % 3;
    return row[0] * coords[at] + row[1] * coords[at + 1] + row[2] * coords[at + 2];
  });
}
