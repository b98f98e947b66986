package stages

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
)

// auxFields are the last entries of each name in a MOPAC .aux file, without unit and length.
type auxFields map[string]string

// auxEntry is what stands before the "=" of an entry: the name, its unit and its length.
var auxEntry = regexp.MustCompile(`^\s*([A-Z][A-Z0-9_.]*)(?::[^\[]*)?(?:\[\d+\])?$`)

// parseAux reads the entries "NAME:UNIT[LENGTH]= values" of a whole .aux file.
func parseAux(aux string) (auxFields, error) {
	if strings.TrimSpace(aux) == "" {
		return nil, errors.New("the file is empty")
	}
	// MOPAC 2012 and 2016 end with "END OF MOPAC FILE", other versions with "… PROGRAM" behind it.
	end := strings.LastIndex(aux, "END OF MOPAC ")
	if end < 0 || end < strings.LastIndex(aux, "START OF MOPAC FILE") {
		return nil, errors.New("the file was not written to its end")
	}
	fields, name, from, at := auxFields{}, "", 0, 0
	for line := range strings.Lines(aux) {
		if head, _, ok := strings.Cut(line, "="); ok { // most lines are numbers
			if next := auxEntry.FindStringSubmatch(head); next != nil {
				fields.set(name, aux[from:at])
				name, from = next[1], at+len(head)+len("=")
			}
		}
		at += len(line)
	}
	fields.set(name, aux[from:])
	return fields, nil
}

// set takes an entry's value, which ends where the next entry begins. Later lines that begin with #
// or tell of the end are no part of the value.
func (f auxFields) set(name, value string) {
	if name == "" {
		return
	}
	if strings.Contains(value, "#") || strings.Contains(value, "END OF MOPAC") {
		first, rest, _ := strings.Cut(value, "\n")
		kept := []string{first}
		for line := range strings.Lines(rest) {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") &&
				!strings.HasPrefix(line, "END OF MOPAC") {
				kept = append(kept, line)
			}
		}
		value = strings.Join(kept, "\n")
	}
	f[name] = strings.ToValidUTF8(value, "?")
}

// text is a single value, "" when it is not there.
func (f auxFields) text(name string) string {
	return strings.Trim(strings.TrimSpace(f[name]), `"`)
}

// number is a single number, nil when it is not there or none.
func (f auxFields) number(name string) *float64 {
	x, err := parseFloat(f.text(name))
	if err != nil {
		return nil
	}
	x = withoutNoise(x)
	return &x
}

// withoutNoise cuts what is below 1e-9, as helium's 0.682121D-12: another build has other noise.
func withoutNoise(x float64) float64 {
	if math.Abs(x) > 1e6 {
		return x
	}
	return math.Round(x*1e9) / 1e9
}

// MOPACGeometry reads the final geometry of a MOPAC run from its .aux file, Å. Without
// AUX(PRECISION=n) it has four decimals.
func MOPACGeometry(auxPath string) (Frame, error) {
	aux, err := readFile(auxPath)
	if err != nil {
		return Frame{}, err
	}
	frame, err := parseAuxGeometry(string(aux))
	if err != nil {
		return Frame{}, fmt.Errorf("%s: %w", auxPath, err)
	}
	return frame, nil
}

func parseAuxGeometry(aux string) (Frame, error) {
	fields, err := parseAux(aux)
	if err != nil {
		return Frame{}, err
	}
	if _, ok := fields["HEAT_OF_FORMATION"]; !ok {
		return Frame{}, errors.New("there is no final geometry: MOPAC came to no result")
	}
	coordinates, ok := fields["ATOM_X_OPT"]
	if !ok {
		coordinates = fields["ATOM_X"]
	}
	var frame Frame
	if frame.Coords, err = numbers(coordinates); err != nil {
		return Frame{}, fmt.Errorf("the geometry is broken: %w", err)
	}
	for _, symbol := range strings.Fields(fields["ATOM_EL"]) {
		element, ok := ElementBySymbol(symbol)
		if !ok {
			return Frame{}, fmt.Errorf("there is no element %.20q", symbol)
		}
		frame.Symbols = append(frame.Symbols, element.Symbol)
	}
	if err := frame.check(); err != nil {
		return Frame{}, fmt.Errorf("the geometry is broken: %w", err)
	}
	return frame, nil
}

// spinWords are MOPAC's names of the multiplicities from 1.
var spinWords = [...]string{
	"SINGLET", "DOUBLET", "TRIPLET", "QUARTET", "QUINTET", "SEXTET", "SEPTET", "OCTET", "NONET",
}

// MOPACState is the keywords of a charge and a multiplicity, as "CHARGE=-1 DOUBLET UHF". The spin
// is always spelled out: else MOPAC takes an impossible number of electrons in silence.
func MOPACState(charge, multiplicity int) (string, error) {
	if multiplicity < 1 || multiplicity > len(spinWords) {
		return "", fmt.Errorf("MOPAC has no keyword for the multiplicity %d, only for 1 to %d",
			multiplicity, len(spinWords))
	}
	state := fmt.Sprintf("CHARGE=%d %s", charge, spinWords[multiplicity-1])
	if multiplicity > 1 {
		state += " UHF"
	}
	return state, nil
}

// MOPACCartesian is the geometry of a MOPAC input file, all of it free: " C 0.1 1 0.2 1 0.3 1".
func MOPACCartesian(frame Frame) (string, error) {
	if err := frame.check(); err != nil {
		return "", err
	}
	var b strings.Builder
	for i, symbol := range frame.Symbols {
		x := frame.Coords[3*i:]
		fmt.Fprintf(&b, " %-2s %15.9f 1 %15.9f 1 %15.9f 1\n", symbol, x[0], x[1], x[2])
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}
