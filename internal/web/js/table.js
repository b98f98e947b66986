// The table of all molecules. Only the rows in view are in the page.
const ROW = 28; // pixels

class Grid {
  constructor(box) {
    this.box = box;
    this.all = Uint32Array.from({ length: data.rows }, (_, i) => i);
    this.rows = this.all;
    this.sorted = null;
    this.down = false;
    this.table = element("table", undefined, "rows");
    this.table.setAttribute("aria-rowcount", data.rows + 1);
    this.table.append(this.widths(), this.head());
    this.above = element("tbody");
    this.body = element("tbody");
    this.below = element("tbody");
    for (const part of [this.above, this.below]) part.append(element("tr"));
    this.table.append(this.above, this.body, this.below);
    box.append(this.table);
    const draw = () => requestAnimationFrame(() => this.draw());
    box.addEventListener("scroll", draw, { passive: true });
    new ResizeObserver(() => this.draw()).observe(box);
    this.body.addEventListener("click", e => {
      const line = e.target.closest("tr");
      if (line && !e.target.closest("button") && !getSelection().toString()) {
        openMolecule(Number(line.dataset.row));
      }
    });
    this.draw();
  }

  // widths gives each column room for its name and for its first cells.
  widths() {
    const group = element("colgroup");
    let sum = 0;
    for (const c of columns) {
      let most = c.name.length + c.unit.length + 3;
      for (let row = 0; row < Math.min(200, data.rows); row++) {
        most = Math.max(most, show(c, row).length);
      }
      const col = element("col"), width = Math.min(280, 24 + most * 8.3);
      col.style.width = width + "px";
      sum += width;
      group.append(col);
    }
    this.table.style.width = sum + "px";
    return group;
  }

  head() {
    const head = element("thead"), line = element("tr");
    for (const c of columns) {
      const cell = element("th"), button = element("button", c.name);
      cell.scope = "col";
      if (c.number) cell.className = "number";
      button.addEventListener("click", () => this.sort(c));
      if (c.unit) button.append(element("small", " " + c.unit));
      cell.append(button);
      line.append(cell);
      c.head = cell;
    }
    head.append(line);
    return head;
  }

  sort(column) {
    this.down = this.sorted === column ? !this.down : false;
    this.sorted = column;
    for (const c of columns) c.head.removeAttribute("aria-sort");
    column.head.setAttribute("aria-sort", this.down ? "descending" : "ascending");
    this.arrange();
  }

  // arrange sorts the rows. Cells without a value are last, whichever way.
  arrange() {
    const c = this.sorted;
    this.rows = this.filtered || this.all;
    if (c) {
      const sign = this.down ? -1 : 1, blank = v => v === null || v === undefined || v === "";
      const values = Array.from({ length: data.rows }, (_, row) => c.get(row));
      const compare = c.number ? (a, b) => a - b : (a, b) => a < b ? -1 : a > b ? 1 : 0;
      this.rows = this.rows.slice().sort((i, j) => {
        const a = values[i], b = values[j];
        if (blank(a) || blank(b)) return blank(a) - blank(b) || i - j;
        return sign * compare(a, b) || i - j;
      });
    }
    this.first = undefined;
    this.draw();
  }

  filter(test) {
    this.filtered = test ? this.all.filter(test) : null;
    this.box.scrollTop = 0;
    this.arrange();
  }

  draw() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - 10);
    const last = Math.min(this.rows.length, first + Math.ceil(this.box.clientHeight / ROW) + 24);
    if (this.first === first && this.last === last) return;
    this.first = first;
    this.last = last;
    this.above.firstChild.style.height = first * ROW + "px";
    this.below.firstChild.style.height = (this.rows.length - last) * ROW + "px";
    const lines = [], active = document.activeElement;
    const focused = this.body.contains(active) && active.dataset.row;
    for (let k = first; k < last; k++) {
      const row = this.rows[k], line = element("tr");
      line.dataset.row = row;
      line.setAttribute("aria-rowindex", k + 2);
      for (const c of columns) {
        const text = show(c, row), first = c === columns[0];
        const cell = element("td", first ? undefined : text, c.number ? "number" : "");
        if (first) { // a button, for the keyboard
          const button = element("button", text, "open");
          button.dataset.row = row;
          cell.append(button);
        }
        if (text.length > 24) cell.title = text;
        line.append(cell);
      }
      lines.push(line);
    }
    this.body.replaceChildren(...lines);
    if (focused) {
      const button = this.body.querySelector(`[data-row="${focused}"] button`);
      button?.focus({ preventScroll: true });
    }
  }
}

// parseFilter turns the text of the filter into a test of a row. It throws a sentence. Quotes hold
// together a name or a value with blanks. C=C is a word: a SMILES may have =, but not the others.
function parseFilter(text) {
  const tests = [];
  for (const part of text.match(/(?:"[^"]*"|[^\s"])+|"/g) || []) {
    const m = /^(\|?)("[^"]+"|[^<>!="]+?)\1(<=|>=|!=|=|<|>)"?([^"]*)"?$/.exec(part);
    const name = m && m[2].replaceAll('"', "");
    if (byName.has(name)) {
      tests.push(comparison(byName.get(name), m[3], m[4], m[1] !== ""));
    } else if (m && m[3] !== "=") {
      throw new Error("The table has no column " + name + ".");
    } else {
      tests.push(word(part.replaceAll('"', "")));
    }
  }
  return tests.length ? row => tests.every(t => t(row)) : null;
}

// word looks for a text in id, SMILES and message. c1ccccc1 and C1CCCCC1 are two molecules.
function word(text) {
  const { id, smiles, error } = data.keys, small = text.toLowerCase();
  const has = (column, row) => String(column.get(row) ?? "").toLowerCase().includes(small);
  return row => String(smiles.get(row) ?? "").includes(text) || has(id, row) || has(error, row);
}

function comparison(column, sign, text, absolute) {
  const number = text === "" ? NaN : Number(text.replace("\u2212", "-"));
  const value = row => {
    const v = column.get(row) ?? "";
    return absolute && v !== "" ? Math.abs(v) : v;
  };
  if (sign === "=" || sign === "!=") {
    const letters = s => column === data.keys.smiles ? s : s.toLowerCase(); // c is not C there
    const same = v => column.number && !isNaN(number) ? v === number
      : letters(String(v)) === letters(text);
    return row => same(value(row)) === (sign === "=");
  }
  if (isNaN(number)) throw new Error("Write a number behind " + sign + ".");
  const tests = { "<": v => v < number, ">": v => v > number,
    "<=": v => v <= number, ">=": v => v >= number };
  return row => value(row) !== "" && tests[sign](Number(value(row)));
}

// csv writes rows as a CSV file. A text that a spreadsheet would take for a formula stays as it is:
// the file is data, with the cells of the table.
function csv(rows) {
  const quote = v => {
    const text = v === null || v === undefined ? "" : String(v);
    return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  };
  const lines = [columns.map(c => quote(c.name)).join(",")];
  for (const row of rows) lines.push(columns.map(c => quote(c.get(row))).join(","));
  return lines.join("\n") + "\n";
}
