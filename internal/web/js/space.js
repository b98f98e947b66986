// Conformers in space by 3Dmol, laid over each other.
const SHADES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];

function element(name, text, className) {
  const e = document.createElement(name);
  if (text !== undefined) e.textContent = text;
  if (className) e.className = className;
  return e;
}

class Space {
  constructor(box, conformers) {
    const view = element("div", undefined, "space-view");
    box.append(view);
    try {
      this.viewer = $3Dmol.createViewer(view, { backgroundAlpha: 0 });
    } catch {
      view.textContent = "This browser has no WebGL, without which conformers are not shown in 3D.";
      return;
    }
    view.tabIndex = 0;
    view.setAttribute("role", "application");
    view.setAttribute("aria-label",
      "Conformers in 3D. The arrow keys turn them, + and − change the size.");
    view.addEventListener("keydown", e => this.key(e));
    const coords = conformers.map(c => centred(c.coords));
    this.models = conformers.map((c, k) =>
      this.model(c, k ? overlaid(coords[k], coords[0], c.symbols) : coords[0], k));
    box.append(this.legend(conformers));
    this.viewer.zoomTo();
    this.viewer.zoom(1.5);
    this.viewer.rotate(30, "x");
    this.viewer.render();
  }

  // model is a conformer: sticks in its own colour, balls in those of the elements.
  model(conformer, coords, k) {
    const model = this.viewer.addModel(), partners = conformer.symbols.map(() => []);
    for (const [i, j] of conformer.bonds) { partners[i].push(j); partners[j].push(i); }
    model.addAtoms(conformer.symbols.map((elem, i) => {
      const [x, y, z] = coords.slice(3 * i, 3 * i + 3);
      return { elem, x, y, z, bonds: partners[i], bondOrder: partners[i].map(() => 1) };
    }));
    const stick = { radius: 0.1, color: SHADES[k % SHADES.length] };
    model.setStyle({}, { stick, sphere: { scale: 0.2 } });
    return model;
  }

  legend(conformers) {
    const list = element("ul", undefined, "legend");
    const least = Math.min(...conformers.map(c => c.result));
    conformers.forEach((c, k) => {
      const [label, check, mark, item] = ["label", "input", "i", "li"].map(name => element(name));
      check.type = "checkbox";
      check.checked = true;
      check.addEventListener("change", () => {
        if (check.checked) this.models[k].show(); else this.models[k].hide();
        this.viewer.render();
      });
      mark.style.background = SHADES[k % SHADES.length];
      const energy = (c.result - least).toFixed(2);
      label.append(check, mark, "conformer " + c.rank + ": +" + energy + " kcal/mol");
      item.append(label);
      list.append(item);
    });
    return list;
  }

  key(event) {
    const turn = { ArrowLeft: [-10, "y"], ArrowRight: [10, "y"],
      ArrowUp: [-10, "x"], ArrowDown: [10, "x"] }[event.key];
    const size = { "+": 1.2, "-": 1 / 1.2 }[event.key];
    if (!turn && !size) return;
    event.preventDefault();
    if (turn) this.viewer.rotate(...turn); else this.viewer.zoom(size);
    this.viewer.render();
  }
}

function centred(coords) {
  const n = coords.length / 3, mean = [0, 0, 0];
  coords.forEach((v, i) => { mean[i % 3] += v / n; });
  return coords.map((v, i) => v - mean[i % 3]);
}

// overlaid rotates coords so that the heavy atoms lie on those of target as well as they can
// (B. K. P. Horn, J. Opt. Soc. Am. A 4, 629 (1987)): the largest eigenvector of Horn's matrix, by
// iteration, is the quaternion of the rotation.
function overlaid(coords, target, symbols) {
  const s = [[0, 0, 0], [0, 0, 0], [0, 0, 0]];
  symbols.forEach((symbol, i) => {
    if (symbol === "H" && symbols.length > 3) return;
    for (let p = 0; p < 3; p++) {
      for (let q = 0; q < 3; q++) s[p][q] += coords[3 * i + p] * target[3 * i + q];
    }
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
