package stages

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Bond is a pair of bonded atoms, counted from 0, the smaller first.
type Bond [2]int

// ParseMolfile reads the elements and the bonds of an MDL molfile, V2000 or V3000 as RDKit writes
// them.
func ParseMolfile(data []byte) (symbols []string, bonds []Bond, err error) {
	lines := strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	if len(lines) < 4 {
		return nil, nil, errors.New("it is no molfile: it has no fourth line")
	}
	end := slices.IndexFunc(lines, func(line string) bool { return strings.TrimSpace(line) == "M  END" })
	if end < 4 {
		return nil, nil, errors.New("the file was not written to its end: it lacks \"M  END\"")
	}
	lines = lines[:end+1] // what follows is no part of the molecule
	switch {
	case strings.HasSuffix(strings.TrimSpace(lines[3]), "V3000"):
		symbols, bonds, err = parseV3000(lines)
	case strings.HasSuffix(strings.TrimSpace(lines[3]), "V2000"):
		symbols, bonds, err = parseV2000(lines)
	default:
		return nil, nil, fmt.Errorf("line 4: %.40q names neither V2000 nor V3000", lines[3])
	}
	if err == nil && len(symbols) == 0 {
		err = errors.New("there is no atom")
	}
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(bonds, func(a, b Bond) int { return slices.Compare(a[:], b[:]) })
	return symbols, slices.Compact(bonds), nil
}

// parseV2000 reads the fixed columns of the older form: counts in threes, the symbol after three
// coordinates of ten.
func parseV2000(lines []string) (symbols []string, bonds []Bond, err error) {
	nAtoms, err1 := column(lines[3], 0, 3)
	nBonds, err2 := column(lines[3], 3, 6)
	if err1 != nil || err2 != nil || nAtoms < 0 || nBonds < 0 {
		return nil, nil, fmt.Errorf("line 4: %.40q has no counts of atoms and bonds", lines[3])
	}
	if len(lines) < 4+nAtoms+nBonds {
		return nil, nil, fmt.Errorf("line 4: %d atoms and %d bonds announced, the file ends before", nAtoms, nBonds)
	}
	for i, line := range lines[4 : 4+nAtoms] {
		if len(line) < 34 {
			return nil, nil, fmt.Errorf("line %d: %.60q is not an atom", 5+i, line)
		}
		if symbols, err = appendElement(symbols, strings.TrimSpace(line[31:34])); err != nil {
			return nil, nil, fmt.Errorf("line %d: %w", 5+i, err)
		}
	}
	for i, line := range lines[4+nAtoms : 4+nAtoms+nBonds] {
		a, err1 := column(line, 0, 3)
		b, err2 := column(line, 3, 6)
		if bonds, err = appendBond(bonds, a, b, nAtoms, err1, err2); err != nil {
			return nil, nil, fmt.Errorf("line %d: %w", 5+nAtoms+i, err)
		}
	}
	return symbols, bonds, nil
}

// parseV3000 reads the newer form: "M  V30 index symbol x y z …" and "M  V30 index order atom atom
// …" between BEGIN and END.
func parseV3000(lines []string) (symbols []string, bonds []Bond, err error) {
	block, continued := "", false
	for i, line := range lines[4:] {
		text, marked := strings.CutPrefix(line, "M  V30 ")
		words := strings.Fields(text)
		ofLast := continued // a "-" at the end of a line: more of the same atom or bond, no news for us
		continued = strings.HasSuffix(line, "-")
		switch {
		case !marked && block != "":
			err = fmt.Errorf("%.60q is no line of a V3000 block", line)
		case ofLast:
		case len(words) > 1 && words[0] == "BEGIN":
			block = words[1]
		case len(words) > 0 && words[0] == "END":
			block = ""
		case block == "ATOM" && len(words) >= 5:
			if words[0] != strconv.Itoa(len(symbols)+1) {
				return nil, nil, fmt.Errorf("line %d: atom %.20q is out of order", 5+i, words[0])
			}
			symbols, err = appendElement(symbols, words[1])
		case block == "BOND" && len(words) >= 4:
			a, err1 := strconv.Atoi(words[2])
			b, err2 := strconv.Atoi(words[3])
			bonds, err = appendBond(bonds, a, b, len(symbols), err1, err2)
		case block == "ATOM" || block == "BOND":
			err = fmt.Errorf("%.60q is neither an atom nor a bond", line)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("line %d: %w", 5+i, err)
		}
	}
	return symbols, bonds, nil
}

func column(line string, from, to int) (int, error) {
	if len(line) < to {
		return 0, strconv.ErrSyntax
	}
	return strconv.Atoi(strings.TrimSpace(line[from:to]))
}

func appendElement(symbols []string, symbol string) ([]string, error) {
	element, ok := ElementBySymbol(symbol)
	if !ok {
		return nil, fmt.Errorf("there is no element %.20q", symbol)
	}
	return append(symbols, element.Symbol), nil
}

// appendBond takes a bond between atoms counted from 1.
func appendBond(bonds []Bond, a, b, atoms int, errs ...error) ([]Bond, error) {
	if errors.Join(errs...) != nil || a < 1 || b < 1 || a > atoms || b > atoms || a == b {
		return nil, fmt.Errorf("the bond does not name two of the %d atoms", atoms)
	}
	return append(bonds, Bond{min(a, b) - 1, max(a, b) - 1}), nil
}

// Bonds finds the bonds of a geometry from its distances alone, in the order of their atoms.
func (f Frame) Bonds() []Bond {
	var bonds []Bond
	for i := range f.Symbols {
		for j := i + 1; j < len(f.Symbols); j++ {
			if f.relative(i, j) < bondFactor {
				bonds = append(bonds, Bond{i, j})
			}
		}
	}
	return bonds
}

// moved is the hydrogen that a broken and a new bond share, -1 when there is none.
func (f Frame) moved(broken, formed Bond) int {
	for _, atom := range broken {
		if f.Symbols[atom] == "H" && (formed[0] == atom || formed[1] == atom) {
			return atom
		}
	}
	return -1
}

func (f Frame) atom(i int) string { return f.Symbols[i] + strconv.Itoa(i+1) }
