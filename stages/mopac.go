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
	// heat of formation at 298.15 K, kcal/mol
	HOF float64 `cty:"hof"`
	// kcal/mol/Å; nil where MOPAC prints none (an atom, a 1SCF job)
	GradientNorm        *float64 `cty:"gradient_norm"`
	IonizationPotential *float64 `cty:"ionization_potential"` // eV; nil without electrons
	// eV; with UHF the higher of alpha and beta
	HOMO *float64 `cty:"homo"`
	// eV; with UHF the lower of alpha and beta
	LUMO       *float64 `cty:"lumo"`
	Dipole     *float64 `cty:"dipole"` // debye; nil where MOPAC prints none
	PointGroup string   `cty:"point_group"`
	Method     string   `cty:"method"`  // as "PM7"
	Version    string   `cty:"version"` // as "22.0.6"
	// all that MOPAC counts: no core electrons
	ValenceElectrons int `cty:"valence_electrons"`
	// <S²> of a UHF wave function; nil when restricted
	SpinSquared *float64 `cty:"spin_squared"`
	// MOPAC's own words when the optimiser gave up near the minimum, else ""
	SoftStop string `cty:"soft_stop"`
}

// mopacFailures are the words of a run that is no result, most telling first, and what they mean.
// MOPAC's exit status is 0 and "JOB ENDED NORMALLY" stands under most of them.
var mopacFailures = [...]struct{ text, meaning string }{
	{"NUMBER OF ELECTRONS, CORRECT FAULT",
		"charge and multiplicity don't fit the molecule's number of electrons"},
	{"EXCESS NUMBER OF OPTIMIZATION CYCLES",
		"the optimisation did not converge within its number of cycles"},
	{"NOT ENOUGH TIME FOR ANOTHER CYCLE", "MOPAC's own time limit (keyword T=) ran out"},
	{"UNRECOGNIZED KEY-WORDS", "the input file has a keyword that MOPAC does not know"},
	{"ARE SEPARATED BY", "two atoms lie on top of each other"},
	{"UNABLE TO ACHIEVE SELF-CONSISTENCE", "the SCF did not converge"},
	{"THE SCF CALCULATION FAILED", "the SCF did not converge"},
	{"FAILED TO ACHIEVE SCF", "the SCF did not converge"},
	{"Gradient in FORCE is too large", "FORCE needs an optimised geometry"},
	{"Calculated Heat of Formation is very large", "the heat of formation is absurd"},
	{"Peptides should be run using Cartesian coordinates",
		"PM7 wants this molecule in Cartesian coordinates (keyword XYZ)"},
	{"GEOMETRY IN ERROR", "MOPAC refuses the geometry"},
	{"does not contain any atoms", "MOPAC could read no atom in its input file: is there an " +
		"unknown element, or a line too many before the geometry?"},
	{"data-set file:", "MOPAC did not find its input file"},
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
	mopacOrbitals = regexp.MustCompile(`(?:HOMO LUMO ENERGIES|` +
		`(?:ALPHA|BETA)\s+SOMO LUMO) \(EV\)\s*=(.*)`)
	fortranNumber = regexp.MustCompile(`^[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[EDed][-+]?\d+)?`)
)

// ReadMOPAC reads the .out and the .aux file of a MOPAC run: an optimisation, a 1SCF or a FORCE job
// of MOPAC 22. The error says why the run is no result; MOPAC's exit status and "JOB ENDED
// NORMALLY" don't.
//
// gradient is the highest gradient norm, kcal/mol/Å, that an optimisation may end with if it ended
// otherwise than by its own test of the gradient. MOPAC prints "GEOMETRY OPTIMISED" after a soft
// stop too. In 123 PM7 PRECISE runs on conformers of 18 molecules (MOPAC 22.0.6) it stopped so at
// 0.07, 0.10, 0.34 and 0.93. Optimised further, the first two fell by less than 0.0001 kcal/mol,
// the third by 0.002, and the last by 0.3.
//
// If the input file has further jobs, each with the keyword OLDGEO, the heat of formation and the
// orbitals are of the last one. The gradient is of the last optimisation. MOPAC before 23.2 adds 12
// kcal/mol for each C≡C of the geometry that a job starts from (openmopac/mopac issue 258). It does
// not look again if the bond is another one at the end. Apart from that the last job must give the
// same as the last optimisation. No job may give less: that is a lower electronic state. Other jobs
// in one file are refused: their numbers would be mixed.
func ReadMOPAC(outPath, auxPath string, gradient float64) (MOPAC, error) {
	if !(gradient > 0) {
		return MOPAC{}, fmt.Errorf("the highest gradient is %g kcal/mol/Å; it must be above 0",
			gradient)
	}
	out, err := readFile(outPath)
	if errors.Is(err, os.ErrNotExist) || err == nil && strings.TrimSpace(string(out)) == "" {
		return MOPAC{}, fmt.Errorf("%s: MOPAC wrote no output", outPath)
	}
	if err != nil {
		return MOPAC{}, err
	}
	run, hof, err := parseMOPACOut(string(out), gradient)
	if err != nil {
		return MOPAC{}, fmt.Errorf("%s: %w", outPath, err)
	}
	aux, err := readFile(auxPath)
	if errors.Is(err, os.ErrNotExist) {
		return MOPAC{}, fmt.Errorf("%s: MOPAC wrote no .aux file: its input file needs the "+
			"keyword AUX", auxPath)
	}
	if err != nil {
		return MOPAC{}, err
	}
	if err := run.addAux(string(aux), hof); err != nil {
		return MOPAC{}, fmt.Errorf("%s: %w", auxPath, err)
	}
	return run, nil
}

// jobHead stands once in each job of an .out file, laterJob in one that has the keyword OLDGEO.
// A job that moves no atom has oneSCF.
const jobHead, laterJob, oneSCF = "*  CALCULATION DONE:", "*  OLDGEO ", "1SCF WAS SPECIFIED"

// tripleBond is what MOPAC before 23.2 adds for each C≡C. sameState is how far the heats of
// formation of two jobs at one geometry may otherwise lie apart. Both are in kcal/mol.
const tripleBond, sameState = 12, 0.1

// parseMOPACOut reads from the .out file what the .aux file lacks, and the heat of formation.
func parseMOPACOut(out string, gradient float64) (run MOPAC, hof string, err error) {
	if err := mopacFailure(out); err != nil {
		return run, "", err
	}
	if !strings.Contains(out, "== MOPAC DONE ==") {
		return run, "", errors.New("MOPAC was stopped before its end")
	}
	jobs := strings.Split(out, laterJob)
	if all := strings.Count(out, jobHead); all > len(jobs) {
		return run, "", fmt.Errorf("the file has %d jobs; want the keyword OLDGEO in each after "+
			"the first", all)
	}
	var optimised MOPAC
	lowest := math.Inf(1)
	for i, job := range jobs {
		limit := gradient
		if i+1 < len(jobs) && !strings.Contains(jobs[i+1], oneSCF) {
			limit = math.Inf(1) // the next job optimises further
		}
		run, hof, err = parseJob(job, limit)
		if err != nil && i > 0 {
			err = fmt.Errorf("at the final geometry: %w", err)
		}
		if err != nil {
			return run, "", err
		}
		if i == 0 || run.GradientNorm != nil {
			optimised = run
		}
		lowest = min(lowest, run.HOF)
	}
	if otherState(optimised.HOF, run.HOF) {
		return run, "", fmt.Errorf("the optimisation ended at %.3f kcal/mol, and one more energy "+
			"at its geometry is %.3f: they are not of the same electronic state", optimised.HOF,
			run.HOF)
	}
	if lowest < run.HOF && otherState(lowest, run.HOF) {
		return run, "", fmt.Errorf("the result is %.3f kcal/mol, and another job of the file "+
			"found a lower electronic state, %.3f", run.HOF, lowest)
	}
	run.GradientNorm, run.SoftStop = optimised.GradientNorm, optimised.SoftStop
	return run, hof, nil
}

// otherState tells whether two heats of formation, kcal/mol, are of different electronic states.
func otherState(a, b float64) bool {
	return math.Abs(math.Remainder(a-b, tripleBond)) > sameState
}

// parseJob reads one job of an .out file, and its heat of formation as it is printed there.
func parseJob(out string, gradient float64) (run MOPAC, hof string, err error) {
	matches := matchesWith(out, "HEAT OF FORMATION", mopacHOF)
	if len(matches) == 0 {
		return run, "", errors.New("MOPAC gave no heat of formation")
	}
	final, hof := matches[len(matches)-1][1] != "", matches[len(matches)-1][2]
	if run.HOF, err = parseFloat(hof); err != nil {
		return run, "", fmt.Errorf("the heat of formation is no number: %.30q", hof)
	}
	if m := matchesWith(out, "GRADIENT NORM", mopacGradient); m != nil {
		norm, err := parseFloat(m[len(m)-1][1])
		if err != nil {
			return run, "", fmt.Errorf("the gradient norm is no number: %.30q", m[len(m)-1][1])
		}
		run.GradientNorm = &norm
	}
	for _, m := range matchesWith(out, " LUMO", mopacOrbitals) {
		// MOPAC prints stars for a level with too many digits: it is left out.
		if levels, err := numbers(m[1]); err == nil {
			run.addOrbitals(levels)
		}
	}
	// Only a FORCE job prints the heat of formation without "FINAL". FORCE and 1SCF move no atom.
	if final && !strings.Contains(out, oneSCF) {
		err = run.checkOptimised(out, gradient)
	}
	return run, hof, err
}

// matchesWith matches an expression, as often as it can, with the lines that have a text in them.
// To match the whole output takes longer than everything else that is done for a small molecule.
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

// mopacMessages reads the box that MOPAC prints after an error.
func mopacMessages(out string) []string {
	_, box, found := strings.Cut(out,
		"Error and normal termination messages reported in this calculation")
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

// checkOptimised refuses a geometry that is no minimum by MOPAC's account, and notes a soft stop.
func (run *MOPAC) checkOptimised(out string, gradient float64) error {
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
	if run.GradientNorm == nil || *run.GradientNorm <= gradient { // a single atom has no gradient
		return nil
	}
	if run.SoftStop == "" && strings.Contains(out, "IS LESS THAN CUTOFF") {
		return nil
	}
	text := fmt.Sprintf("the geometry may not be completely optimised: gradient %.2f kcal/mol/Å, "+
		"at most %g is accepted", *run.GradientNorm, gradient)
	switch {
	case run.SoftStop == "":
		return errors.New(text + "; the keyword PRECISE tightens MOPAC's own criteria")
	case strings.Contains(out, "optimization using L-BFGS"):
		return fmt.Errorf("%s (MOPAC says: %s); the keyword EF may get further", text, run.SoftStop)
	}
	return fmt.Errorf("%s (MOPAC says: %s); the keyword LBFGS may get further", text, run.SoftStop)
}

// addOrbitals takes one line of HOMO and LUMO, or SOMO and LUMO of one spin. With as many orbitals
// as electrons there's no LUMO.
func (run *MOPAC) addOrbitals(levels []float64) {
	if len(levels) > 0 && (run.HOMO == nil || levels[0] > *run.HOMO) {
		run.HOMO = &levels[0]
	}
	if len(levels) > 1 && (run.LUMO == nil || levels[1] < *run.LUMO) {
		run.LUMO = &levels[1]
	}
}

// addAux takes the rest from the .aux file. Its heat of formation must be that of the .out file.
func (run *MOPAC) addAux(aux, outHOF string) error {
	fields, err := parseAux(aux)
	if err != nil {
		return err
	}
	hofText := fields.text("HEAT_OF_FORMATION")
	hof, err := parseFloat(hofText)
	if err != nil {
		return fmt.Errorf("there is no heat of formation, and %s in the .out file: they are of "+
			"different runs", outHOF)
	}
	if math.Abs(hof-run.HOF) > 0.51*(lastDigit(hofText)+lastDigit(outHOF)) {
		return fmt.Errorf("the heat of formation is %s, in the .out file %s: they are of "+
			"different runs", hofText, outHOF)
	}
	if lastDigit(hofText) < lastDigit(outHOF) {
		run.HOF = withoutNoise(hof)
	}
	run.PointGroup, run.Method, run.Version = fields.text("POINT_GROUP"), fields.text("METHOD"),
		fields.text("MOPAC_VERSION")
	if run.ValenceElectrons, err = strconv.Atoi(fields.text("NUM_ELECTRONS")); err != nil {
		return errors.New("there is no number of electrons (NUM_ELECTRONS)")
	}
	run.IonizationPotential, run.Dipole = fields.number("IONIZATION_POTENTIAL"),
		fields.number("DIPOLE")
	if _, uhf := fields["NUM_ALPHA_ELECTRONS"]; uhf {
		run.SpinSquared = fields.number("TOTAL_SPIN")
	}
	// An SCF that stops after ITRY iterations is reported as achieved, with zero SCF calculations.
	if fields.text("NUMBER_SCF_CYCLES") == "0" && run.ValenceElectrons > 0 {
		return errors.New("the SCF did not converge: MOPAC counts no finished SCF calculation " +
			"(is ITRY too small?)")
	}
	cores, err := numbers(fields.text("ATOM_CORE"))
	if err != nil || len(cores) == 0 {
		return errors.New("there are no atoms (ATOM_CORE)")
	}
	return run.checkPlausible(cores)
}

// checkPlausible refuses a heat of formation that no molecule has. The widest known are about 200
// kcal/mol an atom (carbon, tungsten). An excited state has 100 more (the quintet of carbon). Ions
// have 370 (H+) to 560 (Mg2+) in all.
func (run *MOPAC) checkPlausible(cores []float64) error {
	charge := -float64(run.ValenceElectrons)
	for _, core := range cores {
		charge += core
	}
	if limit := 250*float64(len(cores)) + 150 + 500*charge*charge; math.Abs(run.HOF) > limit {
		return fmt.Errorf("the heat of formation, %.1f kcal/mol, is absurd for %d atoms: the SCF "+
			"went astray", run.HOF, len(cores))
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

// numbers reads numbers that may have run together, as Fortran writes them: "1000.0000-1234.5".
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
