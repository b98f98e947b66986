// Scatter plots by uPlot. A point is a row; the rows are in the order of x, as uPlot wants them.
const NEAR = 10; // pixels around the pointer in which a point is found
const FONT = "12px system-ui, sans-serif";

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

class Scatter {
  constructor(box) {
    this.box = box;
    this.x = data.keys[box.dataset.x];
    this.y = data.keys[box.dataset.y];
    this.rows = [];
    let low = Infinity, high = -Infinity;
    for (let row = 0; row < data.rows; row++) {
      const x = this.x.get(row), y = this.y.get(row), counts = data.keys.status.get(row) === "OK";
      if (!counts || typeof x !== "number" || typeof y !== "number") continue;
      this.rows.push(row);
      low = Math.min(low, x, y);
      high = Math.max(high, x, y);
    }
    this.rows.sort((a, b) => this.x.get(a) - this.x.get(b));
    const points = [this.x, this.y].map(c => Float64Array.from(this.rows, row => c.get(row)));
    const margin = (high - low) * 0.04 || 1;
    this.range = { min: low - margin, max: high + margin };
    this.near = null;
    this.plot = new uPlot(this.options(), points, box);
    this.whole();
    this.listen();
  }

  options() {
    const scale = { time: false, auto: false, range: (u, min, max) => [min, max] };
    const axis = {
      font: FONT, labelFont: FONT, labelSize: 18,
      stroke: () => color("--soft"), ticks: { show: false },
      grid: { stroke: () => color("--rule"), width: 1 },
      values: (u, at) => at.map(v => String(v).replace("-", "\u2212")),
    };
    const unit = column => (column === data.keys.result ? data.method : column.name) + ", kcal/mol";
    return {
      width: this.box.clientWidth, height: this.box.clientHeight, padding: [8, 10, 0, 0],
      legend: { show: false },
      scales: { x: scale, y: { ...scale } },
      series: [{}, { paths: () => null, points: { show: false } }],
      axes: [{ ...axis, label: unit(this.x), size: 24 }, { ...axis, label: unit(this.y) }],
      cursor: {
        x: false, y: false, drag: { x: true, y: true, dist: 6 },
        bind: { dblclick: () => () => this.whole() },
        dataIdx: (u, series, index) => series ? this.nearest(u) : index,
        points: { size: 14, width: 2, stroke: () => color("--accent"), fill: "transparent" },
      },
      hooks: { drawAxes: [u => this.draw(u)], setCursor: [u => this.point(u)] },
    };
  }

  listen() {
    this.plot.over.addEventListener("click", () => {
      if (this.near !== null) openMolecule(this.near);
    });
    this.box.addEventListener("keydown", e => this.key(e));
    this.box.addEventListener("blur", () => this.plot.setCursor({ left: -10, top: -10 }));
    new ResizeObserver(() => { // tells the first size, too
      const { clientWidth, clientHeight } = this.box;
      if (clientWidth !== this.plot.width || clientHeight !== this.plot.height) this.fit();
    }).observe(this.box);
    // Each has other colours and sizes.
    for (const media of ["print", "(prefers-color-scheme: dark)"]) {
      matchMedia(media).addEventListener("change", () => this.fit());
    }
  }

  fit() { this.plot.setSize({ width: this.box.clientWidth, height: this.box.clientHeight }); }

  // whole shows all points.
  whole() {
    this.plot.batch(() => { for (const key of ["x", "y"]) this.plot.setScale(key, this.range); });
  }

  // draw draws the line of equal values, and the points.
  draw(u) {
    const g = u.ctx, { left, top, width, height } = u.bbox, ratio = devicePixelRatio || 1;
    const { min, max } = this.range, [first, last] = u.series[0].idxs, [xs, ys] = u.data;
    const x = v => u.valToPos(v, "x", true), y = v => u.valToPos(v, "y", true);
    g.save();
    g.beginPath();
    g.rect(left, top, width, height);
    g.clip();
    g.strokeStyle = color("--soft");
    g.lineWidth = ratio;
    g.beginPath();
    g.moveTo(x(min), y(min));
    g.lineTo(x(max), y(max));
    g.stroke();
    const n = last - first, size = ratio * (n > 5000 ? 2 : n > 500 ? 3 : 5);
    g.fillStyle = color("--point");
    g.globalAlpha = n > 20000 ? 0.25 : n > 2000 ? 0.5 : 0.8;
    for (let k = first; k <= last; k++) {
      g.fillRect(x(xs[k]) - size / 2, y(ys[k]) - size / 2, size, size);
    }
    g.restore();
  }

  // nearest is the place of the point next to the pointer, null if none is near.
  nearest(u) {
    const { left, top } = u.cursor, [xs, ys] = u.data;
    let best = null, least = NEAR * NEAR;
    for (let k = u.valToIdx(u.posToVal(left - NEAR, "x")); k < xs.length; k++) {
      const dx = u.valToPos(xs[k], "x") - left, dy = u.valToPos(ys[k], "y") - top;
      if (dx > NEAR) break;
      if (dx * dx + dy * dy < least) { least = dx * dx + dy * dy; best = k; }
    }
    return best;
  }

  // point shows the molecule next to the pointer.
  point(u) {
    const k = u.cursor.idxs[1] ?? null, row = k === null ? null : this.rows[k];
    if (row === null) {
      if (this.near !== null) $("tip").hidden = true;
    } else {
      const frame = u.over.getBoundingClientRect();
      if (row !== this.near || $("tip").hidden) showTip(row);
      moveTip(frame.left + u.cursor.left, frame.top + u.cursor.top);
    }
    this.near = row;
  }

  // key goes from point to point in the order of x.
  key(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key], u = this.plot;
    if (step) {
      event.preventDefault();
      this.at = Math.min(this.rows.length - 1, Math.max(0, (this.at ?? -1) + step));
      const [x, y] = [u.data[0][this.at], u.data[1][this.at]];
      u.setCursor({ left: u.valToPos(x, "x"), top: u.valToPos(y, "y") });
    } else if (event.key === "Enter" && this.near !== null) {
      openMolecule(this.near);
    } else if (event.key === "Escape") {
      this.whole();
    }
  }
}

// showTip shows a molecule.
function showTip(row) {
  const tip = $("tip"), k = data.keys;
  tip.replaceChildren();
  const img = drawing(row);
  if (img) tip.append(img);
  tip.append(element("b", show(k.id, row)), element("p", show(k.smiles, row), "smiles"));
  // An atom without a charge that lacks hydrogens.
  const open = /\[((B|C|N|O|P|S|F|Cl|Br|I)(H\d?)?|[bcnops])\]/;
  if (img && !$("drawing-" + row) && open.test(show(k.smiles, row))) {
    tip.append(element("p", "drawn without unpaired electrons"));
  }
  const say = text => tip.append(element("p", text + " kcal/mol"));
  say(data.method + " " + show(k.result, row) + ", reference " + show(k.reference, row));
  if (k.deviation) say("deviation " + show(k.deviation, row));
  if (k.other && show(k.other, row)) say("other table " + show(k.other, row));
  tip.hidden = false;
}

// moveTip puts the tip beside a place of the window.
function moveTip(left, top) {
  const tip = $("tip"), w = tip.offsetWidth, h = tip.offsetHeight;
  tip.style.left = Math.max(4, Math.min(left + 16, innerWidth - w - 8)) + "px";
  tip.style.top = Math.max(4, top + 16 + h > innerHeight ? top - h - 12 : top + 16) + "px";
}
