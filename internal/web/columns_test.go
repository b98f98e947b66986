package web

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestPackOrder packs more columns than have room. Those of the plot are there, and the order stays
// that of the table.
func TestPackOrder(t *testing.T) {
	d := made(2000)
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 90 { // the later ones stand before the others, and are longer
		c := Column{Name: "descriptor", Cells: make([]string, len(d.Molecules))}
		for i := range c.Cells {
			text := make([]byte, 1+n*n/90)
			for k := range text {
				text[k] = byte(' ' + random.IntN(95))
			}
			c.Cells[i] = string(text)
		}
		d.Columns = slices.Insert(d.Columns, 2, c)
	}
	columns, left, err := pack(d)
	if err != nil || len(left) == 0 {
		t.Fatal(left, err)
	}
	var names []string
	for _, c := range columns {
		names = append(names, c.Name)
	}
	text := strings.Join(slices.Compact(names), " ")
	for _, part := range []string{"mol_id status descriptor", "smiles", "H298_cbs",
		"most_stable_hof error_message"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in %s", part, text)
		}
	}
}
