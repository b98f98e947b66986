package cli

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"grimperium/internal/batch"
	"grimperium/internal/formats"
	"grimperium/stages"
)

// Names of columns in the tables of others, the best first.
var (
	idNames = []string{"mol_id", "id", "molecule_id", "compound_id", "name", "title", "molecule",
		"compound", "identifier", "cid", "cas"}
	smilesNames = []string{"smiles", "isomeric_smiles", "canonical_smiles", "smiles_string", "smi"}
)

// isName says whether a cell is a usual name for the column mol_id or smiles.
func isName(text string) bool {
	text = strings.ToLower(strings.TrimSpace(text))
	return slices.Contains(idNames, text) || slices.Contains(smilesNames, text)
}

// skipTitle leaves out the lines above the header: text in one cell, where the next line has more.
func (im *importing) skipTitle() {
	cells := func(r formats.Record) (texts []string) {
		blank := func(text string) bool { return strings.TrimSpace(text) == "" }
		return slices.DeleteFunc(slices.Clone(r.Cells), blank)
	}
	for n, r := range im.Records[:min(10, len(im.Records))] {
		switch texts := cells(r); {
		case len(texts) > 1:
			for _, title := range im.Records[:n] {
				im.note("line %d is a title and left out: %s", title.Line, cells(title)[0])
			}
			im.Records = im.Records[n:]
			return
		case isName(texts[0]) || isSMILES(texts[0]):
			return
		}
	}
}

// readHeader takes the names of the columns from the first record, unless that is a molecule.
func (im *importing) readHeader() error {
	if im.Names == nil {
		im.skipTitle()
	}
	if im.Names == nil && len(im.Records) > 0 {
		first := im.Records[0].Cells
		molecule := slices.ContainsFunc(first, isSMILES)
		if len(first) == 1 { // a name may stand behind the SMILES
			text, _, _ := strings.Cut(strings.TrimSpace(first[0]), " ")
			molecule = isSMILES(text)
		}
		named := slices.ContainsFunc(first, isName)
		switch {
		case molecule && !named:
			im.note("no header: the first line is a molecule")
			im.Names = make([]string, len(first))
		case !named:
			im.note("header: the first line, %s", strings.Join(first, ", "))
			fallthrough
		default:
			im.Names, im.Records = slices.Clone(first), im.Records[1:]
		}
	}
	if len(im.Records) == 0 {
		return errors.New("has no molecules")
	}
	if err := im.checkWidth(); err != nil {
		return err
	}
	for k, name := range im.Names {
		im.Names[k] = cmp.Or(strings.Join(strings.Fields(name), " "), fmt.Sprintf("column_%d", k+1))
	}
	im.noteSameNames()
	return nil
}

// noteSameNames names the columns that have one name, perhaps in another letter case.
func (im *importing) noteSameNames() {
	groups := map[string][]string{}
	for _, name := range im.Names {
		lower := strings.ToLower(name)
		groups[lower] = append(groups[lower], name)
	}
	for _, lower := range slices.Sorted(maps.Keys(groups)) {
		if same := groups[lower]; len(same) > 1 {
			im.note("columns %s have one name: the exact spelling is read, or else the first "+
				"column; the others stay", strings.Join(same, ", "))
		}
	}
}

// checkWidth refuses rows with texts behind the last column: a cell was cut in two.
func (im *importing) checkWidth() error {
	width, rows := len(im.Names), 0
	var first formats.Record
	for _, r := range im.Records {
		if len(r.Cells) <= width || strings.TrimSpace(strings.Join(r.Cells[width:], "")) == "" {
			continue
		}
		if rows++; rows == 1 {
			first = r
		}
	}
	if rows == 0 {
		return nil
	}
	return fmt.Errorf("line %d: the row has %d cells, but the table %d columns (%s). A cell may "+
		"have a decimal comma or another separator in it: write that cell in quotes, or name the "+
		"missing columns in the header", first.Line, len(first.Cells), width,
		batch.Count(rows, "such row"))
}

// isSMILES says whether a text is a SMILES by all that can be said without RDKit, perhaps with an
// extension (CXSMILES).
func isSMILES(text string) bool {
	text, _, _ = strings.Cut(text, " |")
	_, err := stages.ReadSMILES(text)
	return err == nil
}

// find is the first column with one of the names, or -1. The exact spelling of a name goes before
// another letter case.
func (im *importing) find(names ...string) int {
	for _, name := range names {
		if k := slices.Index(im.Names, name); k >= 0 {
			return k
		}
		isSame := func(n string) bool { return strings.EqualFold(strings.TrimSpace(n), name) }
		if k := slices.IndexFunc(im.Names, isSame); k >= 0 {
			return k
		}
	}
	return -1
}

// columnOf is the column that a flag names.
func (im *importing) columnOf(flag, name string) (int, error) {
	k := im.find(name)
	if k < 0 {
		return k, fmt.Errorf("-%s=%s: there is no such column; there are %s", flag, name,
			strings.Join(im.Names, ", "))
	}
	return k, nil
}
