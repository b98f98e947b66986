package stages

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// XTB is what an xTB run printed.
type XTB struct {
	Energy       float64  `cty:"energy"`        // total energy, hartree
	GradientNorm *float64 `cty:"gradient_norm"` // hartree/bohr
	// eV; nil for a force field, and with one orbital alone (H⁻)
	Gap *float64 `cty:"homo_lumo_gap"`
	// a geometry optimisation ran and met its criteria; false for a single point
	Converged       bool     `cty:"converged"`
	Version         string   `cty:"version"`           // as "6.5.1"
	ZeroPointEnergy *float64 `cty:"zero_point_energy"` // hartree; nil without a Hessian
	// their number; nil without a Hessian
	ImaginaryFrequencies *int `cty:"imaginary_frequencies"`
}

// What a run of xTB that is no result comes to.
var (
	errCrashed   = errors.New("xTB crashed")
	errFailed    = errors.New("xTB failed")
	errSCF       = errors.New("the SCF did not converge")
	errOptimiser = errors.New("the geometry optimisation did not converge")
)

// xtbFailures are the words of a run that is no result; it may still end with exit status 0,
// "normal termination" and an xtbopt.xyz.
var xtbFailures = [...]struct {
	text    string
	meaning error
}{
	{"Program received signal", errCrashed}, // in gfortran's words and in Intel's
	{"forrtl: severe", errCrashed},
	{"FAILED TO CONVERGE GEOMETRY OPTIMIZATION", errOptimiser},
	{"Self consistent charge iterator did not converge", errSCF},
	{"convergence criteria cannot be satisfied within", errSCF},
	{"abnormal termination of xtb", errFailed},
	{"[ERROR]", errFailed},
	{"ERROR STOP", errFailed},
}

// The totals stand in a box at the end, "| TOTAL ENERGY -11.39 Eh |"; a Hessian's in one of colons.
// Each expression begins with a text that is searched for as such: one that begins with a sign of
// the frame tries every line.
var (
	xtbVersion   = regexp.MustCompile(`\* xtb version (\S+)`)
	xtbEnergy    = regexp.MustCompile(`\| TOTAL ENERGY\s+(\S+) Eh`)
	xtbGradient  = regexp.MustCompile(`\| GRADIENT NORM\s+(\S+) Eh/`)
	xtbGap       = regexp.MustCompile(`\| HOMO-LUMO GAP\s+(\S+) eV`)
	xtbZeroPoint = regexp.MustCompile(`:: zero point energy\s+(\S+) Eh`)
	xtbImaginary = regexp.MustCompile(`# imaginary freq\.\s+(\S+)\s+:`)
	xtbStarted   = regexp.MustCompile(`program call\s+: .*(?:--opt|--ohess)`)
)

// ReadXTB reads the standard output of an xTB run: a single point, --opt, --ohess or --hess. Its
// error says why the run is no result. The exit status and "normal termination" don't.
func ReadXTB(stdoutPath string) (XTB, error) {
	data, err := readFile(stdoutPath)
	if err != nil {
		return XTB{}, err
	}
	run, err := parseXTB(string(data))
	if err != nil {
		return XTB{}, fmt.Errorf("%s: %w", stdoutPath, err)
	}
	return run, nil
}

func parseXTB(out string) (XTB, error) {
	var run XTB
	if strings.TrimSpace(out) == "" {
		return run, errors.New("xTB wrote no output")
	}
	for _, f := range xtbFailures {
		if at := strings.Index(out, f.text); at >= 0 {
			return run, fmt.Errorf("%w (xTB says: %s)", f.meaning, xtbReason(out, at))
		}
	}
	if !strings.Contains(out, "* finished run on") {
		return run, errors.New("xTB was stopped before its end")
	}
	for _, value := range []struct {
		name    string
		pattern *regexp.Regexp
		to      **float64
	}{
		{"gradient norm", xtbGradient, &run.GradientNorm},
		{"HOMO-LUMO gap", xtbGap, &run.Gap},
		{"zero point energy", xtbZeroPoint, &run.ZeroPointEnergy},
	} {
		// of one orbital it is NaN
		if err := lastMatch(out, value.pattern, value.to); err != nil && value.to != &run.Gap {
			return run, fmt.Errorf("the %s is no number: %w", value.name, err)
		}
	}
	var energy *float64
	if err := lastMatch(out, xtbEnergy, &energy); err != nil {
		return run, fmt.Errorf("the energy is no number: %w", err)
	}
	if energy == nil {
		return run, errors.New("xTB gave no energy")
	}
	run.Energy = *energy
	if m := xtbImaginary.FindStringSubmatch(out); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return run, fmt.Errorf("the number of imaginary frequencies is no number: %.20q", m[1])
		}
		run.ImaginaryFrequencies = &n
	}
	if m := xtbVersion.FindStringSubmatch(out); m != nil {
		run.Version = strings.ToValidUTF8(m[1], "?")
	}
	// Of one atom there is nothing to optimise and xTB says nothing, but writes the geometry.
	run.Converged = strings.Contains(out, "GEOMETRY OPTIMIZATION CONVERGED") ||
		strings.Contains(out, "optimized geometry written to:")
	if !run.Converged && xtbStarted.MatchString(out) {
		return run, errors.New("xTB does not say that the geometry optimisation converged")
	}
	return run, nil
}

// lastMatch reads the number of a pattern's last match; without a match to stays nil.
func lastMatch(out string, pattern *regexp.Regexp, to **float64) error {
	all := pattern.FindAllStringSubmatch(out, -1)
	if all == nil {
		return nil
	}
	word := all[len(all)-1][1]
	x, err := parseFloat(word)
	if err != nil {
		return errors.New(strconv.Quote(word))
	}
	*to = &x
	return nil
}

// xtbReason is the line of a failure's words and, of xTB's numbered list of causes, the innermost,
// which is the last: "-1- …".
func xtbReason(out string, at int) string {
	reason := lineAt(out, at)
	_, list, found := strings.Cut(out[at:], "[ERROR]")
	if !found {
		return reason
	}
	if _, cause, found := strings.Cut(list, "\n-1- "); found {
		cause, _, _ = strings.Cut(cause, "\n")
		return strings.ToValidUTF8(strings.TrimSpace(cause), "?")
	}
	return reason
}
