package stages

import (
	"errors"
	"fmt"
	"iter"
	"regexp"
	"strconv"
	"strings"
)

// The titles of jobs, which MOPAC prints above their results.
var (
	singlePoint = regexp.MustCompile(`(?m)^ single point ([0-9]{1,4})\s*$`)
	startTitle  = regexp.MustCompile(`(?m)^ start ([0-9]{1,4})\s*$`)
	anyTitle    = regexp.MustCompile(`(?m)^ (?:single point|start) [0-9]{1,4}\s*$`)
)

// titledJobs are the results of jobs with a title, by their number from 1. A result is the heat of
// formation, kcal/mol, and what MOPAC prints behind the title.
func titledJobs(out string, title *regexp.Regexp) iter.Seq2[int, titledJob] {
	return func(yield func(int, titledJob) bool) {
		for _, at := range title.FindAllStringSubmatchIndex(out, -1) {
			number, _ := strconv.Atoi(out[at[2]:at[3]])
			text := out[at[1]:]
			if next := anyTitle.FindStringIndex(text); next != nil {
				text = text[:next[0]]
			}
			m := mopacHOF.FindStringSubmatch(text)
			if number == 0 || m == nil || !strings.Contains(text, "SCF FIELD WAS ACHIEVED") {
				continue
			}
			hof, err := parseFloat(m[2])
			if err == nil && !yield(number, titledJob{hof, text}) {
				return
			}
		}
	}
}

type titledJob struct {
	hof  float64
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
	reach, err := ParseReach(bonds)
	if err != nil {
		return lowest, err
	}
	m, err := ReadMolecule(moleculePath)
	if err != nil {
		return lowest, err
	}
	for number, job := range titledJobs(string(data), startTitle) {
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
			return lowest, fmt.Errorf("%s: %w", moleculePath, err)
		}
		if changes == "" && m.turnedOver(start, reached, true) == "" {
			lowest = Start{&job.hof, &reached}
		}
	}
	return lowest, nil
}
