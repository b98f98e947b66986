package stages

import (
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// MOPAC is what a MOPAC run gave. No time is among it: the same run gives the same values.
type MOPAC struct {
	HOF                 float64  `json:"hof"`                  // heat of formation at 298.15 K, kcal/mol
	GradientNorm        *float64 `json:"gradient_norm"`        // kcal/mol/Å; nil where MOPAC prints none (an atom, a 1SCF job)
	IonizationPotential *float64 `json:"ionization_potential"` // eV; nil without electrons
	HOMO                *float64 `json:"homo"`                 // eV; with UHF the higher of alpha and beta
	LUMO                *float64 `json:"lumo"`                 // eV; with UHF the lower of alpha and beta
	Dipole              *float64 `json:"dipole"`               // debye; nil where MOPAC prints none
	PointGroup          string   `json:"point_group"`
	Method              string   `json:"method"`            // as "PM7"
	Version             string   `json:"version"`           // as "22.0.6"
	ValenceElectrons    int      `json:"valence_electrons"` // all that MOPAC counts: no core electrons
	SpinSquared         *float64 `json:"spin_squared"`      // <S²> of a UHF wave function; nil when restricted
	SoftStop            string   `json:"soft_stop"`         // MOPAC's own words when the optimiser gave up near the minimum, else ""
}

// Limits of the gradient norm at the end of an optimisation, kcal/mol/Å. MOPAC prints "GEOMETRY OPTIMISED" after a soft
// stop too. In 123 PM7 PRECISE runs on conformers of 18 molecules (MOPAC 22.0.6) it stopped so at 0.07, 0.10, 0.34
// and 0.93: optimised further, the first two fell by less than 0.0001 kcal/mol, the third by 0.002, the last by 0.3.
const (
	maxSoftGradient = 0.5 // after a soft stop
	maxGradient     = 1.0 // after a test that isn't on the gradient (PETERS, HERBERTS): MOPAC's default for GNORM
)

// mopacFailures are the words of a run that is no result, most telling first, and what they mean. MOPAC's exit status
// is 0 and "JOB ENDED NORMALLY" stands under most of them.
var mopacFailures = [...]struct{ text, meaning string }{
	{"NUMBER OF ELECTRONS, CORRECT FAULT", "charge and multiplicity don't fit the molecule's number of electrons"},
	{"EXCESS NUMBER OF OPTIMIZATION CYCLES", "the optimisation did not converge within its number of cycles"},
	{"NOT ENOUGH TIME FOR ANOTHER CYCLE", "MOPAC's own time limit (keyword T=) ran out"},
	{"UNRECOGNIZED KEY-WORDS", "the deck has a keyword that MOPAC does not know"},
	{"ARE SEPARATED BY", "two atoms lie on top of each other"},
	{"UNABLE TO ACHIEVE SELF-CONSISTENCE", "the SCF did not converge"},
	{"THE SCF CALCULATION FAILED", "the SCF did not converge"},
	{"FAILED TO ACHIEVE SCF", "the SCF did not converge"},
	{"Gradient in FORCE is too large", "FORCE needs an optimised geometry"},
	{"Calculated Heat of Formation is very large", "the heat of formation is absurd"},
	{"Peptides should be run using Cartesian coordinates", "PM7 wants this molecule in Cartesian coordinates (keyword XYZ)"},
	{"GEOMETRY IN ERROR", "MOPAC refuses the geometry"},
	{"does not contain any atoms", "MOPAC could read no atom in the deck: is there an unknown element, or a line too many before the geometry?"},
	{"data-set file:", "MOPAC did not find the deck"},
	{"A FAILURE HAS OCCURRED", "MOPAC failed"},
	{"THIS MESSAGE SHOULD NEVER APPEAR", "MOPAC failed"},
}

// mopacSoftStops are the endings of the optimiser that are neither a failure nor the criterion met.
var mopacSoftStops = [...]string{
	"TRUST RADIUS NOW LESS THAN",
	"HEAT OF FORMATION IS ESSENTIALLY STATIONARY",
	"GRADIENT TEST NOT PASSED, BUT FURTHER WORK NOT JUSTIFIED",
	"THE LINE MINIMIZATION FAILED TWICE IN A ROW",
	"BFGS FAILED DUE TO COUNTS EXCEEDED",
	"HEAT OF FORMATION MINIMIZED IN ONE LINE SEARCH",
	"WARNING -- GEOMETRY IS NOT AT A STATIONARY POINT",
	"THE GEOMETRY MAY NOT BE COMPLETELY OPTIMIZED",
}

// mopacEndings are the sentences of an optimisation that met its criterion.
var mopacEndings = [...]string{
	"GEOMETRY OPTIMISED USING", "IS LESS THAN CUTOFF", "GRADIENTS WERE INITIALLY ACCEPTABLY SMALL",
	"PETERS TEST WAS SATISFIED", "HERBERTS TEST WAS SATISFIED",
}

var (
	mopacHOF      = regexp.MustCompile(`(FINAL )?HEAT OF FORMATION\s*=\s*(\S+)\s+KCALS?/MOL`)
	mopacGradient = regexp.MustCompile(`GRADIENT NORM\s*=\s*(\S+)`)
	mopacOrbitals = regexp.MustCompile(`(?:HOMO LUMO ENERGIES|(?:ALPHA|BETA)\s+SOMO LUMO) \(EV\)\s*=(.*)`)
	fortranNumber = regexp.MustCompile(`^[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[EDed][-+]?\d+)?`)
)

// ReadMOPAC reads a MOPAC run's .out and .aux file. Its error says in a chemist's words why the run is no result: the exit
// status and "JOB ENDED NORMALLY" say nothing. It takes optimisations, 1SCF and FORCE jobs of MOPAC 22.
func ReadMOPAC(outPath, auxPath string) (MOPAC, error) {
	out, err := readFile(outPath)
	if errors.Is(err, os.ErrNotExist) || err == nil && strings.TrimSpace(string(out)) == "" {
		return MOPAC{}, fmt.Errorf("%s: MOPAC wrote no output", outPath)
	}
	if err != nil {
		return MOPAC{}, readError(err)
	}
	run, hof, err := parseMOPACOut(string(out))
	if err != nil {
		return MOPAC{}, fmt.Errorf("%s: %w", outPath, err)
	}
	aux, err := readFile(auxPath)
	if errors.Is(err, os.ErrNotExist) {
		return MOPAC{}, fmt.Errorf("%s: MOPAC wrote no .aux file: the deck needs the keyword AUX", auxPath)
	}
	if err != nil {
		return MOPAC{}, readError(err)
	}
	if err := run.addAux(string(aux), hof); err != nil {
		return MOPAC{}, fmt.Errorf("%s: %w", auxPath, err)
	}
	return run, nil
}

// parseMOPACOut takes from the .out file what the .aux lacks, and the heat of formation as it is printed there.
func parseMOPACOut(out string) (MOPAC, string, error) {
	var run MOPAC
	if err := mopacFailure(out); err != nil {
		return run, "", err
	}
	if !strings.Contains(out, "== MOPAC DONE ==") {
		return run, "", errors.New("MOPAC was stopped before its end")
	}
	matches := matchesWith(out, "HEAT OF FORMATION", mopacHOF)
	if len(matches) == 0 {
		return run, "", errors.New("MOPAC gave no heat of formation")
	}
	found := matches[len(matches)-1]
	hof, err := parseFloat(found[2])
	if err != nil {
		return run, "", fmt.Errorf("the heat of formation is no number: %.30q", found[2])
	}
	run.HOF = hof
	if m := matchesWith(out, "GRADIENT NORM", mopacGradient); m != nil {
		norm, err := parseFloat(m[len(m)-1][1])
		if err != nil {
			return run, "", fmt.Errorf("the gradient norm is no number: %.30q", m[len(m)-1][1])
		}
		run.GradientNorm = &norm
	}
	for _, m := range matchesWith(out, " LUMO", mopacOrbitals) {
		if levels, err := numbers(m[1]); err == nil { // stars where a level has more digits than MOPAC's format: nobody needs that level
			run.addOrbitals(levels)
		}
	}
	// Only a FORCE job prints the heat of formation without "FINAL"; it and a 1SCF job move no atom.
	if found[1] != "" && !strings.Contains(out, "1SCF WAS SPECIFIED") {
		if err := run.checkOptimised(out); err != nil {
			return run, "", err
		}
	}
	return run, found[2], nil
}

// matchesWith matches an expression, as often as it can, with the lines that have a text in them: with the whole output it takes longer than
// all else that is done for a small molecule.
func matchesWith(out, text string, expr *regexp.Regexp) (matches [][]string) {
	for {
		at := strings.Index(out, text)
		if at < 0 {
			return matches
		}
		line := out[strings.LastIndexByte(out[:at], '\n')+1:]
		line, out, _ = strings.Cut(line, "\n")
		matches = append(matches, expr.FindAllStringSubmatch(line, -1)...)
	}
}

// mopacFailure is the error of a run that says itself that it failed.
func mopacFailure(out string) error {
	messages := mopacMessages(out)
	for _, f := range mopacFailures {
		if at := strings.Index(out, f.text); at >= 0 {
			return fmt.Errorf("%s (MOPAC says: %s)", f.meaning, lineAt(out, at))
		}
	}
	if len(messages) > 0 {
		return fmt.Errorf("MOPAC failed: %s", strings.Join(messages, "; "))
	}
	return nil
}

// mopacMessages reads the box that MOPAC prints after an error. It holds nothing but "JOB ENDED NORMALLY" after a success.
func mopacMessages(out string) []string {
	_, box, found := strings.Cut(out, "Error and normal termination messages reported in this calculation")
	if !found {
		return nil
	}
	var messages []string
	for line := range strings.Lines(box) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "**") || line == "" {
			break
		}
		line = strings.TrimSpace(strings.Trim(line, "*"))
		if line != "" && line != "JOB ENDED NORMALLY" {
			messages = append(messages, strings.ToValidUTF8(line, "?"))
		}
	}
	return messages
}

// lineAt is the line around a place in a text, without blanks and frames.
func lineAt(text string, at int) string {
	start := strings.LastIndex(text[:at], "\n") + 1
	line, _, _ := strings.Cut(text[start:], "\n")
	return strings.ToValidUTF8(strings.TrimSpace(strings.Trim(strings.TrimSpace(line), "*")), "?")
}

// checkOptimised refuses a geometry that is no minimum by MOPAC's own account, and notes a soft stop.
func (run *MOPAC) checkOptimised(out string) error {
	for _, text := range mopacSoftStops {
		if at := strings.Index(out, text); at >= 0 {
			run.SoftStop = lineAt(out, at)
			break
		}
	}
	ended := run.SoftStop != ""
	for _, text := range mopacEndings {
		ended = ended || strings.Contains(out, text)
	}
	if !ended {
		return errors.New("MOPAC does not say that it optimised the geometry")
	}
	norm := 0.0 // a single atom has no gradient
	if run.GradientNorm != nil {
		norm = *run.GradientNorm
	}
	switch {
	case run.SoftStop != "" && norm > maxSoftGradient:
		advice := "; the keyword LBFGS may get further"
		if strings.Contains(out, "optimization using L-BFGS") {
			advice = "; the keyword EF may get further"
		}
		return fmt.Errorf("the geometry may not be completely optimised: gradient %.2f kcal/mol/Å, at most %.1f is accepted (MOPAC says: %s)%s",
			norm, maxSoftGradient, run.SoftStop, advice)
	case norm > maxGradient && !strings.Contains(out, "IS LESS THAN CUTOFF"):
		return fmt.Errorf("the geometry is not optimised: gradient %.2f kcal/mol/Å, at most %.1f is accepted; PRECISE in the deck tightens the criteria",
			norm, maxGradient)
	}
	return nil
}

// addOrbitals takes one line of HOMO and LUMO, or SOMO and LUMO of one spin. With as many orbitals as electrons there's no LUMO.
func (run *MOPAC) addOrbitals(levels []float64) {
	if len(levels) > 0 && (run.HOMO == nil || levels[0] > *run.HOMO) {
		run.HOMO = &levels[0]
	}
	if len(levels) > 1 && (run.LUMO == nil || levels[1] < *run.LUMO) {
		run.LUMO = &levels[1]
	}
}

// addAux takes the rest from the .aux file and checks it against the heat of formation that the .out file prints.
func (run *MOPAC) addAux(aux, outHOF string) error {
	fields, err := parseAux(aux)
	if err != nil {
		return err
	}
	hofText := fields.text("HEAT_OF_FORMATION")
	hof, err := parseFloat(hofText)
	if err != nil {
		return fmt.Errorf("there is no heat of formation, and %s in the .out file: they are of different runs", outHOF)
	}
	if math.Abs(hof-run.HOF) > 0.51*(lastDigit(hofText)+lastDigit(outHOF)) {
		return fmt.Errorf("the heat of formation is %s, in the .out file %s: they are of different runs", hofText, outHOF)
	}
	if lastDigit(hofText) < lastDigit(outHOF) {
		run.HOF = withoutNoise(hof)
	}
	run.PointGroup, run.Method, run.Version = fields.text("POINT_GROUP"), fields.text("METHOD"), fields.text("MOPAC_VERSION")
	if run.ValenceElectrons, err = strconv.Atoi(fields.text("NUM_ELECTRONS")); err != nil {
		return errors.New("there is no number of electrons (NUM_ELECTRONS)")
	}
	run.IonizationPotential, run.Dipole = fields.number("IONIZATION_POTENTIAL"), fields.number("DIPOLE")
	if _, uhf := fields["NUM_ALPHA_ELECTRONS"]; uhf {
		run.SpinSquared = fields.number("TOTAL_SPIN")
	}
	// An SCF that stops after ITRY iterations is reported as achieved, with zero SCF calculations.
	if fields.text("NUMBER_SCF_CYCLES") == "0" && run.ValenceElectrons > 0 {
		return errors.New("the SCF did not converge: MOPAC counts no finished SCF calculation (is ITRY too small?)")
	}
	cores, err := numbers(fields.text("ATOM_CORE"))
	if err != nil || len(cores) == 0 {
		return errors.New("there are no atoms (ATOM_CORE)")
	}
	return run.checkPlausible(cores)
}

// checkPlausible refuses a heat of formation that no molecule has. The widest known are about 200 kcal/mol an atom (carbon,
// tungsten), 100 more in an excited state (the quintet of carbon), and, for ions, 370 (H+) to 560 (Mg2+) in all.
func (run *MOPAC) checkPlausible(cores []float64) error {
	charge := -float64(run.ValenceElectrons)
	for _, core := range cores {
		charge += core
	}
	if limit := 250*float64(len(cores)+1) + 500*charge*charge; math.Abs(run.HOF) > limit {
		return fmt.Errorf("the heat of formation, %.1f kcal/mol, is absurd for %d atoms: the SCF went astray", run.HOF, len(cores))
	}
	return nil
}

// lastDigit is the value of the last digit of a number as it is written: 0.001 for "-0.117758D+03".
func lastDigit(number string) float64 {
	mantissa, exponent := number, 0
	if at := strings.IndexAny(number, "EDed"); at >= 0 {
		mantissa = number[:at]
		exponent, _ = strconv.Atoi(number[at+1:])
	}
	return math.Pow10(exponent - decimals(mantissa))
}

// numbers reads blank-separated numbers that may have run together, as Fortran writes them: "1000.0000-1234.5".
func numbers(text string) ([]float64, error) {
	var list []float64
	for _, word := range strings.Fields(text) {
		if x, err := parseFloat(word); err == nil {
			list = append(list, x)
			continue
		}
		for word != "" {
			number := fortranNumber.FindString(word)
			x, err := parseFloat(number)
			if err != nil {
				return nil, fmt.Errorf("%.30q is not a number", word)
			}
			list, word = append(list, x), word[len(number):]
		}
	}
	return list, nil
}
