package stages

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"grimperium/internal/packed"
)

// Frame is one geometry of an xyz file.
type Frame struct {
	Comment string    `cty:"comment"`     // the second line, without blanks at its ends
	Energy  *float64  `cty:"energy"`      // hartree, from the comment; nil where it states none
	Symbols []string  `cty:"symbols"`     // element of each atom
	Coords  []float64 `cty:"coordinates"` // Å: x y z of each atom, 3*len(Symbols) long
	// SMILES of the stereoisomer, behind "! " in the comment; "" where that has none
	Isomer string `cty:"isomer"`
}

// maxCoordinate is far beyond any molecule, Å: a number above it is garbage.
const maxCoordinate = 1e5

// ParseXYZ reads the frames of an xyz file, at least one. It refuses a torn file, a number that is
// not finite, an element that does not exist, and names the line.
func ParseXYZ(data []byte) ([]Frame, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("no geometry: the file is empty")
	}
	whole := bytes.HasSuffix(data, []byte("\n"))
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	var frames []Frame
	for at := 0; at < len(lines); {
		if strings.TrimSpace(lines[at]) == "" && len(frames) > 0 {
			at++
			continue
		}
		count, err := strconv.Atoi(strings.TrimSpace(lines[at]))
		if err != nil || count < 1 {
			return nil, fmt.Errorf("line %d: %.40q is not a number of atoms", at+1, lines[at])
		}
		if count > len(lines)-at-2 {
			return nil, fmt.Errorf("line %d: %d atoms announced, the file ends after %d: it was "+
				"not written to its end", at+1, count, max(0, len(lines)-at-2))
		}
		f := Frame{Comment: strings.TrimSpace(lines[at+1])}
		f.Energy = commentEnergy(f.Comment)
		if _, isomer, found := strings.Cut(f.Comment, " ! "); found {
			f.Isomer = strings.TrimSpace(isomer)
		}
		for i := at + 2; i < at+2+count; i++ {
			if err := f.addAtom(lines[i], !whole && i == len(lines)-1); err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
		}
		frames = append(frames, f)
		at += 2 + count
	}
	return frames, nil
}

// addAtom reads a line "C 0.1 0.2 0.3". A line at the end of the file without a line end may be
// torn. It must have as many decimals in z as in y, since a number cut short is still a number.
func (f *Frame) addAtom(line string, mayBeTorn bool) error {
	words := strings.Fields(line)
	if len(words) != 4 {
		return fmt.Errorf("%.60q is not an element and three coordinates", line)
	}
	element, ok := ElementBySymbol(words[0])
	if !ok {
		return fmt.Errorf("there is no element %.20q", words[0])
	}
	if mayBeTorn && decimals(words[3]) != decimals(words[2]) {
		return fmt.Errorf("the file ends in the middle of %.60q", line)
	}
	for _, word := range words[1:] {
		x, err := parseFloat(word)
		if err != nil || math.Abs(x) > maxCoordinate {
			return fmt.Errorf("%.30q is not a coordinate", word)
		}
		f.Coords = append(f.Coords, x)
	}
	f.Symbols = append(f.Symbols, element.Symbol)
	return nil
}

func decimals(number string) int {
	_, after, _ := strings.Cut(number, ".")
	return len(after)
}

var fortranExponent = strings.NewReplacer("D", "E", "d", "E")

// parseFloat reads a finite number, also with Fortran's D, but not Go's 0x1p3 and 1_000.
func parseFloat(word string) (float64, error) {
	if strings.ContainsAny(word, "xXpP_") {
		return 0, strconv.ErrSyntax
	}
	x, err := strconv.ParseFloat(fortranExponent.Replace(word), 64)
	if err == nil && (math.IsNaN(x) || math.IsInf(x, 0)) {
		err = strconv.ErrRange
	}
	return x, err
}

// commentEnergy finds the energy, hartree, in the forms that programs write: a number with decimals
// alone (CREST) or before a "!" remark, or after the label "energy:" (xTB).
func commentEnergy(comment string) *float64 {
	words := strings.Fields(comment)
	for i, word := range words {
		number := ""
		isAlone := len(words) == 1 || strings.HasPrefix(words[1], "!")
		switch {
		case i == 0 && strings.Contains(word, ".") && isAlone:
			number = word
		case strings.EqualFold(word, "energy:") && i+1 < len(words):
			number = words[i+1]
		default:
			continue
		}
		if x, err := parseFloat(number); err == nil {
			return &x
		}
	}
	return nil
}

// check refuses a frame that is no geometry: pipeline.hcl can make one by hand.
func (f Frame) check() error {
	if len(f.Symbols) == 0 {
		return errors.New("there is no atom")
	}
	if len(f.Coords) != 3*len(f.Symbols) {
		return fmt.Errorf("%d atoms have %d coordinates", len(f.Symbols), len(f.Coords))
	}
	for i, symbol := range f.Symbols {
		if _, ok := ElementBySymbol(symbol); !ok {
			return fmt.Errorf("there is no element %.20q", symbol)
		}
		for _, x := range f.Coords[3*i : 3*i+3] {
			if !(math.Abs(x) <= maxCoordinate) { // NaN too
				return fmt.Errorf("%g is not a coordinate", x)
			}
		}
	}
	return nil
}

// XYZ is the frame as the text of an xyz file, with ten decimals. An energy is the comment of none.
func (f Frame) XYZ() string {
	comment := f.Comment
	if comment == "" && f.Energy != nil {
		comment = strconv.FormatFloat(*f.Energy, 'f', 8, 64)
	}
	var b strings.Builder
	comment = strings.NewReplacer("\n", " ", "\r", " ").Replace(comment)
	fmt.Fprintf(&b, "%d\n%s\n", len(f.Symbols), comment)
	for i, symbol := range f.Symbols {
		fmt.Fprintf(&b, "%-2s %16.10f %16.10f %16.10f\n", symbol, f.Coords[3*i], f.Coords[3*i+1],
			f.Coords[3*i+2])
	}
	return b.String()
}

// FormatXYZ is the text of an xyz file of several frames.
func FormatXYZ(frames []Frame) []byte {
	var b bytes.Buffer
	for _, f := range frames {
		b.WriteString(f.XYZ())
	}
	return b.Bytes()
}

// ReadXYZ reads the frames of an xyz file; its errors name the file.
func ReadXYZ(path string) ([]Frame, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	frames, err := ParseXYZ(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return frames, nil
}

// maxFile is how large a file the parsers unpack, bytes: a damaged one may say anything.
const maxFile = 1 << 30

// readFile reads an output of a program, which may be stored compressed. Its error names the file
// and says why, without the name of the system call.
func readFile(path string) ([]byte, error) {
	data, err := packed.ReadFile(path, maxFile)
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		err = fmt.Errorf("%s: %w", pathErr.Path, pathErr.Err)
	}
	return data, err
}

// distance is that of two atoms of a frame, Å, counted from 0.
func (f Frame) distance(i, j int) float64 {
	a, b := f.Coords[3*i:3*i+3], f.Coords[3*j:3*j+3]
	return math.Hypot(math.Hypot(a[0]-b[0], a[1]-b[1]), a[2]-b[2])
}
