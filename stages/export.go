package stages

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Tag is one fact of an exported conformer or of its row: a string, a number or a *float64. A nil
// value means that there is none, and the tag is left out.
type Tag struct {
	Name  string
	Value any
}

func (t Tag) text() string {
	switch v := t.Value.(type) {
	case nil:
		return ""
	case *float64:
		if v == nil {
			return ""
		}
		return strconv.FormatFloat(*v, 'f', -1, 64)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return strings.Join(strings.Fields(fmt.Sprint(v)), " ")
	}
}

// SDF is one record of an SD file (CTfile formats, BIOVIA). It has the bonds, charges and stereo of
// a molfile (V2000) that RDKit wrote, and the coordinates (Å) of a frame. The frame must have the
// same atoms in the same order. The tags are data items.
func SDF(molfile []byte, frame Frame, title string, tags []Tag) (string, error) {
	lines := strings.Split(strings.ReplaceAll(string(molfile), "\r\n", "\n"), "\n")
	symbols, err := molfileAtoms(lines)
	if err == nil {
		err = sameAtoms(symbols, frame)
	}
	if err == nil {
		err = moveAtoms(lines, frame)
	}
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(sdfLine(strings.Join(strings.Fields(title), " ")))
	// Without "3D" as 21st and 22nd character readers take stereo from the drawing.
	b.WriteString("  grimperium          3D\n\n")
	for _, line := range lines[3:] {
		b.WriteString(line + "\n")
		if strings.TrimSpace(line) == "M  END" {
			break
		}
	}
	for _, t := range tags {
		if text := t.text(); text != "" {
			fmt.Fprintf(&b, ">  <%s>\n%s\n", dataName.Replace(t.Name), sdfLine(text))
		}
	}
	b.WriteString("$$$$\n")
	return b.String(), nil
}

// sdfLine is a text on a line of its own. A blank goes before $$$$, which ends a record.
func sdfLine(text string) string {
	if strings.HasPrefix(text, "$$$$") {
		text = " " + text
	}
	return text + "\n"
}

// dataName leaves out what ends the name of a data item.
var dataName = strings.NewReplacer("<", "_", ">", "_", "\n", "_", "\r", "_")

// molfileAtoms reads the elements of a molfile's lines: counts in columns of three, and the symbol
// after three coordinates of ten characters.
func molfileAtoms(lines []string) (symbols []string, err error) {
	ended := slices.ContainsFunc(lines, func(line string) bool {
		return strings.TrimSpace(line) == "M  END"
	})
	if !ended {
		return nil, errors.New("the molfile was not written to its end: it lacks \"M  END\"")
	}
	if len(lines) < 5 || len(lines[3]) < 6 ||
		!strings.HasSuffix(strings.TrimSpace(lines[3]), "V2000") {
		return nil, errors.New("it is no molfile of the form V2000")
	}
	atoms, err := strconv.Atoi(strings.TrimSpace(lines[3][:3]))
	if err != nil || atoms < 1 || len(lines) < 4+atoms {
		return nil, fmt.Errorf("line 4: %.40q has no number of atoms", lines[3])
	}
	for i, line := range lines[4 : 4+atoms] {
		if len(line) < 34 {
			return nil, fmt.Errorf("line %d: %.60q is not an atom", 5+i, line)
		}
		element, ok := ElementBySymbol(strings.TrimSpace(line[31:34]))
		if !ok {
			return nil, fmt.Errorf("line %d: there is no element %.20q", 5+i, line[31:34])
		}
		symbols = append(symbols, element.Symbol)
	}
	return symbols, nil
}

// MolfileBonds reads the bonds of a molfile (V2000), in its order.
func MolfileBonds(molfile []byte) (bonds []Bond, err error) {
	lines := strings.Split(strings.ReplaceAll(string(molfile), "\r\n", "\n"), "\n")
	symbols, err := molfileAtoms(lines)
	if err != nil {
		return nil, err
	}
	atoms := len(symbols)
	count, err := strconv.Atoi(strings.TrimSpace(lines[3][3:6]))
	if err != nil || count < 0 || len(lines) < 4+atoms+count {
		return nil, fmt.Errorf("line 4: %.40q has no number of bonds", lines[3])
	}
	for i, line := range lines[4+atoms : 4+atoms+count] {
		bond := Bond{}
		for end := range bond { // two atoms in columns of three, counted from 1
			text := fmt.Sprintf("%-6s", line)[3*end : 3*end+3]
			n, err := strconv.Atoi(strings.TrimSpace(text))
			if err != nil || n < 1 || n > atoms {
				return nil, fmt.Errorf("line %d: %.40q is not a bond", 5+atoms+i, line)
			}
			bond[end] = n - 1
		}
		bonds = append(bonds, bond)
	}
	return bonds, nil
}

func sameAtoms(symbols []string, frame Frame) error {
	if err := frame.check(); err != nil {
		return err
	}
	if len(symbols) != len(frame.Symbols) {
		return fmt.Errorf("the molecule has %d atoms, the geometry %d", len(symbols),
			len(frame.Symbols))
	}
	for i, symbol := range symbols {
		if symbol != frame.Symbols[i] {
			return fmt.Errorf("atom %d is %s in the molecule, %s in the geometry: the order of "+
				"the atoms differs", i+1, symbol, frame.Symbols[i])
		}
	}
	return nil
}

// moveAtoms writes the coordinates of a frame into the atom lines of a molfile: three columns of
// ten characters, four decimals.
func moveAtoms(lines []string, frame Frame) error {
	for i := range frame.Symbols {
		place := ""
		for _, x := range frame.Coords[3*i : 3*i+3] {
			place += fmt.Sprintf("%10s", fixed(x, 4))
		}
		if len(place) != 30 {
			return fmt.Errorf("atom %d is too far away for a molfile", i+1)
		}
		lines[4+i] = place + lines[4+i][30:]
	}
	return nil
}

// fixed writes a number with so many decimals, never as -0.0000.
func fixed(x float64, decimals int) string {
	text := strconv.FormatFloat(x, 'f', decimals, 64)
	if strings.Trim(text, "-0.") == "" {
		return strings.TrimPrefix(text, "-")
	}
	return text
}

// ExtXYZ is one frame of an extended xyz file (libAtoms' form): element and position (Å) of each
// atom, the tags as key=value pairs.
func ExtXYZ(frame Frame, tags []Tag) (string, error) {
	if err := frame.check(); err != nil {
		return "", err
	}
	comment := "Properties=species:S:1:pos:R:3"
	for _, t := range tags {
		text := t.text()
		if text == "" {
			continue
		}
		if _, isText := t.Value.(string); isText {
			text = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
		}
		comment += " " + t.Name + "=" + text
	}
	frame.Comment = comment
	return frame.XYZ(), nil
}

// Conformer is an exported conformer: a geometry and its facts. Enthalpies are heats of formation
// in kcal/mol at 298.15 K in the gas. A nil pointer is a number that is not known.
type Conformer struct {
	Molecule  string // the mol_id
	Rank      int    // place in the order of GFN2-xTB, from 1
	Frame     Frame
	Molfile   []byte   // the bonds, as RDKit wrote them
	HOF       float64  // by PM7
	Reference *float64 // H298_cbs
	GFN2      *float64 // total energy by xTB, hartree
	HOMO      *float64 // by PM7, eV, as LUMO
	LUMO      *float64
	Dipole    *float64 // by PM7, debye
	Gradient  *float64 // norm at the end of the optimisation, kcal/mol/Å
	Isomer    string   // the SMILES of the stereoisomer
	InChIKey  string   // of the stereoisomer; "" if it is not known
	Method    string
	Row       []Tag // the cells of the molecule's row, its mol_id first
}

// Tags are the facts of a conformer beside its row, with the same names and types for every one.
func (c Conformer) Tags() []Tag {
	var delta *float64
	if c.Reference != nil {
		x := Round9(math.Abs(*c.Reference - c.HOF))
		delta = &x
	}
	return []Tag{{"conformer_rank", int64(c.Rank)}, {"hof_kcal_mol", Round9(c.HOF)},
		{"delta_kcal_mol", delta}, {"e_gfn2_hartree", c.GFN2}, {"homo_ev", c.HOMO},
		{"lumo_ev", c.LUMO}, {"dipole_debye", c.Dipole}, {"gradient_kcal_mol_angstrom", c.Gradient},
		{"isomer_smiles", c.Isomer}, {"isomer_inchikey", c.InChIKey}, {"hof_method", c.Method}}
}

// SDF is the conformer as a record of an SD file, with all cells of its row.
func (c Conformer) SDF() (string, error) {
	return SDF(c.Molfile, c.Frame, fmt.Sprintf("%s %d", c.Molecule, c.Rank),
		slices.Concat(c.Row, c.Tags()))
}

// ExtXYZ is the conformer as a frame of an extended xyz file. Its energy would be in eV: none.
func (c Conformer) ExtXYZ() (string, error) {
	names := []string{"mol_id", "status", "smiles", "charge", "multiplicity"}
	row := slices.DeleteFunc(slices.Clone(c.Row), func(t Tag) bool {
		return !slices.Contains(names, t.Name)
	})
	return ExtXYZ(c.Frame, append(row, c.Tags()...))
}

// Round9 takes off the last bits of a number, which differ from one machine to the next.
func Round9(x float64) float64 { return math.Round(x*1e9) / 1e9 }

// InChIKey is that of a stereoisomer in molecule.json, "" if RDKit is built without InChI.
func InChIKey(file, isomer string) string {
	data, err := readFile(file)
	var properties struct{ InchiKeys map[string]string }
	if err = errors.Join(err, json.Unmarshal(data, &properties)); err != nil {
		return ""
	}
	return properties.InchiKeys[isomer]
}
