// The table: columns by name, unpacked from the page. A column has get(row), number and name.
const $ = id => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const columns = [];
const byName = new Map();

async function inflate(packed) {
  const text = atob(packed.data);
  packed.data = "";
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

// unpack reads a column: base64 of gzip of a JSON list.
async function unpack(packed) {
  const list = await inflate(packed);
  const words = packed.words;
  const get = words ? row => words[list[row]] : row => list[row];
  return { name: packed.name, unit: packed.unit || "", number: packed.number, get };
}

async function load() {
  columns.push(...await Promise.all(data.columns.map(unpack)));
  for (const c of columns) byName.set(c.name, c);
  for (const [role, name] of Object.entries(data.keys)) {
    data.keys[role] = byName.get(name) || { name, number: false, get: () => null };
  }
  const { reference, result, status } = data.keys;
  const deviation = row => {
    const a = result.get(row), b = reference.get(row), counts = status.get(row) === "OK";
    if (!counts || typeof a !== "number" || typeof b !== "number") return null;
    return Math.round((a - b) * 1e6) / 1e6;
  };
  if (byName.has(reference.name) && byName.has(result.name)) {
    const c = { name: "deviation", unit: result.unit, number: true, get: deviation };
    data.keys.deviation = c;
    if (!byName.has(c.name)) {
      columns.splice(columns.indexOf(result) + 1, 0, c);
      byName.set(c.name, c);
    }
  }
  order();
}

// order puts the columns that say most in front.
function order() {
  const { id, status, smiles, reference, result, deviation, other } = data.keys;
  const first = [id, smiles, status, result, reference, deviation, other]
    .filter(c => columns.includes(c));
  const rest = columns.filter(c => !first.includes(c));
  columns.splice(0, columns.length, ...first, ...rest);
}

// show is a cell for a person.
function show(column, row) {
  const v = column.get(row);
  if (v === null || v === undefined) return "";
  return typeof v === "number" ? String(v).replace("-", "\u2212") : v;
}

// SmilesDrawer needs seconds for some SMILES with more characters or more digits, which are rings.
const MOST_CHARACTERS = 200, MOST_DIGITS = 24;

// drawing is the picture of a molecule: RDKit's of an outlier, else one made from the SMILES. It is
// null of what is no SMILES.
function drawing(row) {
  const img = $("drawing-" + row);
  if (img) {
    const copy = img.cloneNode();
    copy.removeAttribute("id");
    return copy;
  }
  const smiles = show(data.keys.smiles, row), picture = element("img");
  const digits = (smiles.match(/\d/g) || []).length;
  if (smiles.length > MOST_CHARACTERS || digits > MOST_DIGITS) return null;
  picture.alt = "Structure of " + show(data.keys.id, row);
  const options = { width: 190, height: 130, explicitHydrogens: true,
    kkMaxIteration: 100, kkMaxInnerIteration: 20 };
  try {
    SmilesDrawer.parse(smiles, tree => {
      const svg = new SmilesDrawer.SvgDrawer(options).draw(tree, "svg", "light");
      const text = new XMLSerializer().serializeToString(svg); // as an image no script of it runs
      picture.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(text);
    }, () => {});
  } catch { } // a text that SmilesDrawer does not expect
  return picture.src ? picture : null;
}
