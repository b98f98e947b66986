// The dialog of one molecule: everything that the table says, its drawing and its conformers.
function openMolecule(row) {
  const dialog = $("molecule"), body = $("molecule-body"), id = show(data.keys.id, row);
  $("molecule-name").textContent = id;
  body.replaceChildren();
  $("tip").hidden = true;
  if (!dialog.open) dialog.showModal(); // 3Dmol draws what has a size
  const img = drawing(row);
  if (img) body.append(img);
  const geometry = data.geometry[row];
  if (geometry) {
    const box = element("div", undefined, "space-box");
    body.append(box);
    new Space(box, geometry);
  }
  if (data.folders) {
    const link = element("a", "files of " + id);
    const zip = (data.zips || []).some(([first, last]) => first <= row && row <= last);
    link.href = data.folders + encodeURIComponent(id) + (zip ? ".zip" : "/");
    body.append(element("p"));
    body.lastChild.append(link);
  }
  const list = element("table", undefined, "plain");
  for (const c of columns) {
    const text = show(c, row);
    if (text === "") continue;
    const line = list.insertRow(), head = element("th", c.name);
    head.scope = "row";
    line.append(head, element("td", (text + " " + c.unit).trim()));
  }
  body.append(list);
}
