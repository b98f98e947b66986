// Scatter plots on canvas. Points lie in a grid of cells, so that the nearest is found at once.
const CELL = 12;

function color(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

function ticks(from, to, n) {
  const raw = (to - from) / n, unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(k => k * unit).find(s => s >= raw);
  const out = [];
  for (let k = Math.ceil(from / step); k * step <= to; k++) out.push(Math.round(k * step * 1e6) / 1e6);
  return out;
}

class Scatter {
  constructor(box) {
    this.box = box;
    this.canvas = box.querySelector("canvas");
    this.x = data.keys[box.dataset.x];
    this.y = data.keys[box.dataset.y];
    this.rows = [];
    let low = Infinity, high = -Infinity;
    for (let row = 0; row < data.rows; row++) {
      const x = this.x.get(row), y = this.y.get(row);
      if (typeof x !== "number" || typeof y !== "number") continue;
      this.rows.push(row);
      low = Math.min(low, x, y);
      high = Math.max(high, x, y);
    }
    const margin = (high - low) * 0.04 || 1;
    this.low = low - margin;
    this.high = high + margin;
    this.near = null;
    box.addEventListener("pointermove", e => this.point(e));
    box.addEventListener("pointerleave", () => this.leave());
    box.addEventListener("click", e => { this.point(e); if (this.near !== null) openMolecule(this.near); });
    new ResizeObserver(() => this.draw()).observe(box);
    for (const media of ["print", "(prefers-color-scheme: dark)"]) { // each has other colours and sizes
      matchMedia(media).addEventListener("change", () => this.draw());
    }
  }

  scale(v, along) {
    const part = (v - this.low) / (this.high - this.low);
    return along ? this.left + part * (this.width - this.left - 8) : this.bottom - part * (this.bottom - 8);
  }

  draw() {
    const ratio = devicePixelRatio || 1;
    this.width = this.box.clientWidth;
    this.height = this.box.clientHeight;
    this.left = 52;
    this.bottom = this.height - 40;
    this.canvas.width = this.width * ratio;
    this.canvas.height = this.height * ratio;
    const g = this.canvas.getContext("2d");
    g.scale(ratio, ratio);
    this.axes(g);
    g.fillStyle = color("--point");
    g.globalAlpha = this.rows.length > 20000 ? 0.25 : this.rows.length > 2000 ? 0.5 : 0.8;
    const size = this.rows.length > 5000 ? 2 : this.rows.length > 500 ? 3 : 5;
    this.cells = new Map();
    this.at = new Float32Array(this.rows.length * 2);
    for (let k = 0; k < this.rows.length; k++) {
      const row = this.rows[k];
      const x = this.scale(this.x.get(row), true), y = this.scale(this.y.get(row), false);
      this.at[2 * k] = x;
      this.at[2 * k + 1] = y;
      g.fillRect(x - size / 2, y - size / 2, size, size);
      const cell = (x / CELL | 0) * 4096 + (y / CELL | 0);
      const list = this.cells.get(cell);
      if (list) list.push(k); else this.cells.set(cell, [k]);
    }
    g.globalAlpha = 1;
    this.picture = null;
  }

  axes(g) {
    g.font = "12px system-ui, sans-serif";
    g.fillStyle = color("--soft");
    g.strokeStyle = color("--rule");
    g.lineWidth = 1;
    for (const v of ticks(this.low, this.high, Math.max(3, this.width / 90))) {
      const x = this.scale(v, true), y = this.scale(v, false), text = String(v).replace("-", "\u2212");
      g.beginPath();
      g.moveTo(x, 8); g.lineTo(x, this.bottom);
      g.moveTo(this.left, y); g.lineTo(this.width - 8, y);
      g.stroke();
      g.textAlign = "center"; g.fillText(text, x, this.bottom + 16);
      g.textAlign = "right"; g.fillText(text, this.left - 6, y + 4);
    }
    g.strokeStyle = color("--soft");
    g.beginPath();
    g.moveTo(this.scale(this.low, true), this.scale(this.low, false));
    g.lineTo(this.scale(this.high, true), this.scale(this.high, false));
    g.stroke();
    g.textAlign = "right";
    g.fillText(this.x.name + ", kcal/mol", this.width - 8, this.height - 6);
    g.save();
    g.translate(12, 8);
    g.rotate(-Math.PI / 2);
    g.fillText((this.y === data.keys.result ? data.method : this.y.name) + ", kcal/mol", 0, 0);
    g.restore();
  }

  // nearest is the place of the point within 10 pixels of a place, -1 if there is none.
  nearest(x, y) {
    let best = -1, least = 100;
    for (let i = -1; i <= 1; i++) for (let j = -1; j <= 1; j++) {
      const list = this.cells.get(((x / CELL | 0) + i) * 4096 + (y / CELL | 0) + j) || [];
      for (const k of list) {
        const dx = this.at[2 * k] - x, dy = this.at[2 * k + 1] - y, d = dx * dx + dy * dy;
        if (d < least) { least = d; best = k; }
      }
    }
    return best;
  }

  point(event) {
    const frame = this.box.getBoundingClientRect();
    const k = this.nearest(event.clientX - frame.left, event.clientY - frame.top);
    if (k < 0) return this.leave();
    const row = this.rows[k];
    if (this.near !== row) {
      this.near = row;
      this.mark(k);
      showTip(row, event);
    }
    moveTip(event);
  }

  // mark draws a ring around a point, on a copy of the plot.
  mark(k) {
    const g = this.canvas.getContext("2d");
    g.save();
    g.setTransform(1, 0, 0, 1, 0, 0);
    if (!this.picture) {
      this.picture = document.createElement("canvas");
      this.picture.width = this.canvas.width;
      this.picture.height = this.canvas.height;
      this.picture.getContext("2d").drawImage(this.canvas, 0, 0);
    } else {
      g.clearRect(0, 0, this.canvas.width, this.canvas.height);
      g.drawImage(this.picture, 0, 0);
    }
    g.restore();
    if (k < 0) return;
    g.strokeStyle = color("--accent");
    g.lineWidth = 2;
    g.beginPath();
    g.arc(this.at[2 * k], this.at[2 * k + 1], 7, 0, 7);
    g.stroke();
  }

  leave() {
    if (this.near === null) return;
    this.near = null;
    this.mark(-1);
    $("tip").hidden = true;
  }
}

function showTip(row, event) {
  const tip = $("tip"), k = data.keys;
  tip.replaceChildren();
  const img = drawing(row);
  if (img) tip.append(img);
  tip.append(element("b", show(k.id, row)), element("p", show(k.smiles, row), "smiles"));
  const open = /\[((B|C|N|O|P|S|F|Cl|Br|I)(H\d?)?|[bcnops])\]/; // an atom without a charge that lacks hydrogens
  if (img && !$("drawing-" + row) && open.test(show(k.smiles, row))) tip.append(element("p", "drawn without unpaired electrons"));
  tip.append(element("p", data.method + " " + show(k.result, row) + ", reference " + show(k.reference, row)));
  if (k.deviation) tip.append(element("p", "deviation " + show(k.deviation, row) + " kcal/mol"));
  if (k.other && show(k.other, row)) tip.append(element("p", "other table " + show(k.other, row)));
  tip.hidden = false;
}

function moveTip(event) {
  const tip = $("tip"), w = tip.offsetWidth, h = tip.offsetHeight;
  tip.style.left = Math.max(4, Math.min(event.clientX + 16, innerWidth - w - 8)) + "px";
  tip.style.top = Math.max(4, event.clientY + 16 + h > innerHeight ? event.clientY - h - 12 : event.clientY + 16) + "px";
}
