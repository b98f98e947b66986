package stages

import (
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
)

// The titles of jobs, which MOPAC prints above their results, with a number behind them.
const singlePoint, startTitle = " single point ", " start "

// titledJobs are the results of jobs with a title, by their number from 1. A result is the heat of
// formation, kcal/mol, and what MOPAC prints behind the title.
func titledJobs(out, title string) iter.Seq2[int, titledJob] {
	return func(yield func(int, titledJob) bool) {
		number, from, at := 0, 0, 0
		out += "\n" + singlePoint + "0" // a title at the end
		for line := range strings.Lines(out) {
			if next, n := jobTitle(line); next != "" {
				if number > 0 {
					job, ok := jobResult(out[from:at])
					if ok && !yield(number, job) {
						return
					}
				}
				if number = 0; next == title {
					number, from = n, at+len(line)
				}
			}
			at += len(line)
		}
	}
}

// jobTitle is the title that a line is, and its number; "" for another line.
func jobTitle(line string) (title string, number int) {
	for _, title := range []string{singlePoint, startTitle} {
		if text, ok := strings.CutPrefix(line, title); ok {
			n, err := strconv.Atoi(strings.TrimSpace(text))
			if err == nil && n >= 0 && n < 10_000 {
				return title, n
			}
		}
	}
	return "", 0
}

func jobResult(text string) (titledJob, bool) {
	found := matchesWith(text, "HEAT OF FORMATION", mopacHOF)
	if len(found) == 0 || !strings.Contains(text, "SCF FIELD WAS ACHIEVED") {
		return titledJob{}, false
	}
	hof, err := parseFloat(found[0][2])
	return titledJob{hof, text}, err == nil
}

// titledJob is the result of a job.
type titledJob struct {
	hof  float64 // kcal/mol
	text string
}

// geometry is the last one that MOPAC prints of a job, with so many atoms.
func (j titledJob) geometry(symbols []string) (f Frame, err error) {
	at := strings.LastIndex(j.text, "SYMBOL      (ANGSTROMS)")
	if at < 0 {
		return f, errors.New("the job has no geometry")
	}
	f.Symbols = symbols
	for line := range strings.Lines(j.text[at:]) {
		words := strings.Fields(strings.ReplaceAll(line, "*", " "))
		if len(words) != 5 || len(f.Coords) == 3*len(symbols) {
			continue
		}
		place, err := numbers(strings.Join(words[2:], " "))
		if err != nil {
			return f, err
		}
		f.Coords = append(f.Coords, place...)
	}
	return f, f.check()
}

// SinglePoints are the heats of formation, kcal/mol, of an .out file with many jobs, in their
// order. Their titles are "single point 1" and so on. It is nil for a job without a result. All
// conformers of a molecule may be too high by 12 for each C≡C, see ReadMOPAC.
func SinglePoints(outPath string) ([]*float64, error) {
	data, err := readFile(outPath)
	if err != nil {
		return nil, err
	}
	var hofs []*float64
	for number, job := range titledJobs(string(data), singlePoint) {
		hofs = append(hofs, make([]*float64, max(0, number-len(hofs)))...)
		hofs[number-1] = &job.hof
	}
	if hofs == nil {
		return nil, fmt.Errorf("%s: MOPAC gave no result of any single point", outPath)
	}
	return hofs, nil
}

// Start is the lowest minimum that PM7 reaches from starting geometries, of nil if there is none.
type Start struct {
	HOF      *float64 `cty:"hof"`      // kcal/mol at 298.15 K
	Geometry *Frame   `cty:"geometry"` // where MOPAC left it
}

// Reached reads an .out file with many jobs, titled "start 1" and so on, which optimise starts of
// one molecule. It passes over jobs that failed, or whose molecule is another one (SameMolecule).
//
// PM7 has minima that GFN2-xTB lacks. Diphosphane is 6.4 kcal/mol lower with a P–P bond of 2.04 Å;
// GFN2-xTB has 2.22 Å.
func Reached(outPath, moleculePath string, starts []Frame, bonds string) (lowest Start, err error) {
	data, err := readFile(outPath)
	if err != nil {
		return lowest, err
	}
	m, reach, err := readReach(moleculePath, bonds)
	if err != nil {
		return lowest, err
	}
	if lowest, err = m.reached(string(data), starts, reach); err != nil {
		err = fmt.Errorf("%s: %w", moleculePath, err)
	}
	return lowest, err
}

func (m Molecule) reached(out string, starts []Frame, reach Reach) (lowest Start, err error) {
	for number, job := range titledJobs(out, startTitle) {
		if number > len(starts) || lowest.HOF != nil && job.hof >= *lowest.HOF {
			continue
		}
		start := starts[number-1]
		reached, err := job.geometry(start.Symbols)
		if err != nil {
			continue
		}
		changes, err := m.BondChanges(start, reached, reach)
		if err != nil {
			return lowest, err
		}
		if changes == "" && m.turnedOver(start, reached, true) == "" {
			lowest = Start{&job.hof, &reached}
		}
	}
	return lowest, nil
}
