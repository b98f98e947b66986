// The parts that are on the page.
const plots = [];
let grid;

function shown() {
  const [some, all] = [grid.rows.length, data.rows].map(n => n.toLocaleString("en"));
  $("shown").textContent = some + " of " + all + " molecules";
}

function connect() {
  const input = $("filter");
  let timer = 0;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      try {
        grid.filter(parseFilter(input.value));
        shown();
      } catch (e) {
        $("shown").textContent = e.message;
      }
    }, 120);
  });
  $("save").addEventListener("click", () => {
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([csv(grid.rows)], { type: "text/csv" }));
    link.download = "selection.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
  document.addEventListener("click", e => {
    const button = e.target.closest("button.open, button.space");
    if (button) openMolecule(Number(button.dataset.row));
  });
}

async function start() {
  if (typeof DecompressionStream === "undefined") {
    $("shown").textContent = "This browser is too old for the plot and the table. " +
      "Chrome 80, Firefox 113 and Safari 16.4 show them.";
    return;
  }
  await load();
  grid = new Grid($("grid"));
  shown();
  connect();
  for (const box of document.querySelectorAll(".plot")) plots.push(new Scatter(box));
  requestAnimationFrame(() => requestAnimationFrame(() => {
    performance.mark("usable");
    document.documentElement.dataset.usable = Math.round(performance.now());
  }));
  for (const button of document.querySelectorAll(".cards button.open")) {
    const card = button.closest("article");
    const img = card.querySelector("img") ? null : drawing(Number(button.dataset.row));
    if (img) card.prepend(img);
  }
}

start();
