// The page of a molecule: its conformers in 3D.
new Space(document.getElementById("space"),
  JSON.parse(document.getElementById("geometries").textContent));
