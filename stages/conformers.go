package stages

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Builtin is a command of pipeline.hcl that runs inside Grimperium: it may start declared programs
// and sort what they give.
type Builtin struct {
	Name, Description string
	Version           string // part of the fingerprint; another one means that the same input may give another output
	Run               func(ctx context.Context, w Work) error
}

// Work is one call of a Builtin.
type Work struct {
	Dir  string   // the target's scratch folder
	Args []string // the command's words after its name; names of files are absolute paths
	// Run starts a program by the name that pipeline.hcl declares, in dir below Dir, and waits for
	// it. Both output streams go to the file log in dir. It fails when the program could not be
	// started, timed out, or ended with a non-zero exit status.
	Run func(ctx context.Context, dir, log string, argv ...string) error
	Log io.Writer // a readable account of the work
}

// Builtins returns the commands that need no program of that name.
func Builtins() []Builtin {
	return []Builtin{{
		Name: "conformers",
		Description: "conformers POOL --molecule MOLECULE --charge Q --uhf N --window KCAL: optimises a pool of geometries with GFN2-xTB, " +
			"and writes the different ones to conformers.xyz, the most stable first, of each stereoisomer that is near the lowest; --alpb SOLVENT for a solvent",
		Version: "2",
		Run:     runConformers,
	}, {
		Name: "merge_conformers",
		Description: "merge_conformers ENSEMBLE OTHER --molecule MOLECULE --charge Q --uhf N --window KCAL --isomer SMILES: optimises the lower conformers of two searches " +
			"to the same criteria of GFN2-xTB, and writes the different ones to conformers.xyz, the most stable first",
		Version: "1",
		Run:     runMerge,
	}}
}

// level is one round of optimisations. Each round works on what the earlier one left.
type level struct {
	name  string   // xTB's name of the convergence criteria
	like  likeness // what counts as the same afterwards
	extra float64  // kcal/mol kept above the window asked for, since the energies may still fall
	upTo  float64  // kcal/mol above the lowest; what lies higher stays as the earlier round left it
	twins bool     // only for those that look like another: a flat minimum that is reached from two sides
}

// twin is how like two conformers are that may be one, not yet at its minimum.
var twin = likeness{rmsd: 0.6, energy: 0.2, rotation: 0.05}

// levels go from cheap to tight: most of a pool becomes the same as another or leaves the window
// before it is worth a tighter optimisation, and what lies high has no part in the first conformers
// that go on to PM7.
var levels = [...]level{
	{name: "loose", like: likeness{rmsd: 0.20, energy: 0.5, rotation: 0.03}, extra: 1, upTo: math.Inf(1)},
	{name: "normal", like: cregen, upTo: 3},
	{name: "tight", like: cregen, upTo: 3, twins: true},
}

// always is how many of the lowest conformers get the last optimisation however high they lie.
const always = 3

// ensemble is the work on one molecule.
type ensemble struct {
	Work
	*Matcher
	Molecule
	state  []string // xTB's words for method, charge and spin
	window float64  // kcal/mol
	xtb    string   // its version, once it ran
	isomer string   // of the conformers to merge, "" for all
}

func runConformers(ctx context.Context, w Work) error {
	e, members, err := readEnsemble(w)
	if err != nil {
		return err
	}
	rounds := levels[:]
	if len(members) == 1 {
		rounds = levels[1:] // nothing to choose from
	}
	return e.refine(ctx, members, members, rounds)
}

// refine optimises members of all in several rounds, and writes what is left.
func (e *ensemble) refine(ctx context.Context, all, members []*member, rounds []level) (err error) {
	for _, l := range rounds {
		if l.name == levels[1].name {
			if members, err = e.settle(ctx, members); err != nil {
				return err
			}
		}
		tried := members
		if members, err = e.round(ctx, l, tried); err != nil {
			return err
		}
		if len(members) == 0 {
			return fmt.Errorf("none of %d geometries is left after the %s optimisation with GFN2-xTB: the first %s", len(tried), l.name, tried[0].dropped)
		}
		members = e.fold(members, l.like, e.window+l.extra)
		fmt.Fprintf(e.Log, "after the %s optimisation: %d different\n", l.name, len(members))
	}
	e.account(all, members)
	frames := make([]Frame, len(members))
	for i, x := range members {
		frames[i] = x.Frame
		frames[i].Comment = strconv.FormatFloat(*x.Energy, 'f', 10, 64)
		if x.isomer != "" {
			frames[i].Comment += " ! " + x.isomer
		}
	}
	return os.WriteFile(filepath.Join(e.Dir, "conformers.xyz"), FormatXYZ(frames), 0o644)
}

// How far above the lowest member the lowest of another stereoisomer may lie, kcal/mol by GFN2-xTB:
// after the first level to be optimised further, since "loose" ends up to 4 kcal/mol above "normal"
// (propranolol), and after that to go on to PM7, which may find it lower.
const (
	isomerLoose  = 5
	isomerNormal = 3
)

// settle drops the stereoisomers that PM7 would not find the lowest. The lowest two members of each
// are optimised for that.
func (e *ensemble) settle(ctx context.Context, members []*member) ([]*member, error) {
	if !slices.ContainsFunc(members, func(x *member) bool { return x.isomer != members[0].isomer }) {
		return members, nil
	}
	count := map[string]int{}
	var tried []*member
	for _, x := range members {
		if count[x.isomer]++; count[x.isomer] <= 2 && e.above(x, members[0]) <= isomerLoose {
			tried = append(tried, x)
		}
	}
	left, err := e.round(ctx, level{name: levels[1].name, upTo: math.Inf(1)}, tried)
	if err != nil {
		return nil, err
	}
	if len(left) == 0 {
		return nil, fmt.Errorf("none of %d stereoisomers is left after the optimisation with GFN2-xTB: the first %s", len(count), tried[0].dropped)
	}
	byEnergy(left)
	fmt.Fprintf(e.Log, "%d stereoisomers; kcal/mol by GFN2-xTB of the lowest conformers:\n", len(count))
	near := map[string]bool{}
	for _, x := range left {
		if _, seen := near[x.isomer]; !seen {
			near[x.isomer] = e.above(x, left[0]) <= isomerNormal
			fmt.Fprintf(e.Log, "%9.3f  %s\n", e.above(x, left[0]), x.isomer)
		}
	}
	var kept []*member
	for _, x := range members {
		if x.dropped == "" && !near[x.isomer] {
			x.dropped = "is of a stereoisomer of higher energy"
		}
		if x.dropped == "" {
			kept = append(kept, x)
		}
	}
	byEnergy(kept)
	return kept, nil
}

// above is how far a member lies above another, kcal/mol.
func (e *ensemble) above(x, other *member) float64 {
	return kcalPerHartree * (*x.Energy - *other.Energy)
}

// readEnsemble reads the command's words and the files that they name.
func readEnsemble(w Work) (*ensemble, []*member, error) {
	flags := flag.NewFlagSet("conformers", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	molecule := flags.String("molecule", "", "")
	charge := flags.Int("charge", 0, "")
	uhf := flags.Int("uhf", 0, "")
	window := flags.Float64("window", 6, "")
	solvent := flags.String("alpb", "", "")
	isomer := flags.String("isomer", "", "")
	if len(w.Args) == 0 || strings.HasPrefix(w.Args[0], "-") {
		return nil, nil, errors.New("conformers: name the pool's xyz file first, as stage.rdkit.pool")
	}
	if err := flags.Parse(w.Args[1:]); err != nil || flags.NArg() > 0 {
		return nil, nil, fmt.Errorf("conformers: can't understand %q (want POOL --molecule MOLECULE --charge Q --uhf N --window KCAL)", w.Args)
	}
	if *molecule == "" || *uhf < 0 || !(*window > 0 && *window <= 100) {
		return nil, nil, errors.New("conformers: want --molecule with the description of the molecule or a molfile, --uhf of 0 or more, and --window between 0 and 100 kcal/mol")
	}
	pool, err := ReadXYZ(w.Args[0])
	if err != nil {
		return nil, nil, err
	}
	e := &ensemble{Work: w, isomer: *isomer, window: *window, state: []string{"--gfn", "2", "--chrg", strconv.Itoa(*charge), "--uhf", strconv.Itoa(*uhf)}}
	if *solvent != "" {
		e.state = append(e.state, "--alpb", *solvent)
	}
	if e.Molecule, err = ReadMolecule(*molecule); err != nil {
		return nil, nil, err
	}
	e.Matcher = NewMatcher(e.Symbols, e.Bonds)
	var members []*member
	for i, f := range pool {
		if err := e.fits(f); err != nil {
			return nil, nil, fmt.Errorf("%s: geometry %d does not fit %s: %w", w.Args[0], i+1, *molecule, err)
		}
		members = append(members, &member{Frame: f, start: f, number: i + 1, isomer: f.Isomer})
	}
	return e, members, nil
}

// round optimises the members that the level is for, and drops those that failed, reacted or turned
// over.
func (e *ensemble) round(ctx context.Context, l level, members []*member) ([]*member, error) {
	low := slices.DeleteFunc(slices.Clone(members), func(x *member) bool { return !e.isFor(l, x, members) })
	if len(low) == 0 {
		return members, nil
	}
	oneByOne := len(low) == 1 || len(e.Symbols) == 1
	if !oneByOne {
		if err := e.together(ctx, l, low); err != nil {
			fmt.Fprintf(e.Log, "%s, all in one run of xTB: %v; so one by one\n", l.name, err)
			oneByOne = true
		}
	}
	for _, x := range low {
		if oneByOne && ctx.Err() == nil {
			x.dropped = e.alone(ctx, l, x)
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for _, x := range low {
		x.level = l.name
		if x.dropped != "" {
			continue
		}
		var err error
		if x.dropped, err = e.changed(x, "reacted"); err != nil {
			return nil, fmt.Errorf("xTB gave another molecule for member %d of the pool: %w", x.number, err)
		}
	}
	return slices.DeleteFunc(slices.Clone(members), func(x *member) bool { return x.dropped != "" }), nil
}

// changed says how a member has become another molecule than its start, "" where it has not. reacted
// is the word for other bonds.
func (e *ensemble) changed(x *member, reacted string) (string, error) {
	changes, err := e.BondChanges(x.start, x.Frame)
	if err != nil {
		return "", err
	}
	if changes != "" {
		return reacted + ": " + changes, nil
	}
	if turned := e.turnedOver(x.start, x.Frame, false); turned != "" {
		return "is another stereoisomer: " + turned, nil
	}
	return "", nil
}

// isFor reports whether a level is for one of the members, which are sorted by energy once they
// have been optimised.
func (e *ensemble) isFor(l level, x *member, members []*member) bool {
	if l.upTo < math.Inf(1) && len(members) > 1 && e.above(x, members[0]) > l.upTo &&
		!slices.Contains(members[:min(always, len(members))], x) {
		return false
	}
	return !l.twins || slices.ContainsFunc(members, func(other *member) bool { return other != x && e.alike(other, x, twin) })
}

// together optimises all members in one start of xTB, which costs as much as a small molecule's whole optimisation. It is xTB's
// --mdopt, which optimises each frame of the file xtb.trj, and leaves out of xtb_ensemble.xyz what did not converge: nobody
// can tell which, so any failure makes the caller do it one by one.
func (e *ensemble) together(ctx context.Context, l level, members []*member) error {
	dir := filepath.Join(e.Dir, "xtb."+l.name)
	frames := make([]Frame, len(members))
	for i, x := range members {
		frames[i] = x.Frame
	}
	if err := writeFiles(dir, map[string]string{
		"in.xyz":  frames[0].XYZ(),
		"xtb.trj": string(FormatXYZ(frames)),
		"xtb.inp": "$md\n skip=1\n$opt\n optlevel=" + l.name + "\n$end\n",
	}); err != nil {
		return err
	}
	argv := append([]string{"xtb", "in.xyz", "--input", "xtb.inp", "--mdopt"}, e.state...)
	if err := e.Run(ctx, dir, "xtb.out", argv...); err != nil {
		return err
	}
	run, err := ReadXTB(filepath.Join(dir, "xtb.out"))
	if err != nil {
		return err
	}
	e.xtb = run.Version
	done, err := ReadXYZ(filepath.Join(dir, "xtb_ensemble.xyz"))
	if err != nil {
		return err
	}
	if len(done) != len(members) {
		return fmt.Errorf("%d of %d converged", len(done), len(members))
	}
	for i, f := range done {
		if f.Energy == nil || len(f.Symbols) != len(e.Symbols) {
			return fmt.Errorf("frame %d of xtb_ensemble.xyz has no energy or not all atoms", i+1)
		}
	}
	for i, f := range done {
		members[i].Frame = f
	}
	return os.RemoveAll(dir)
}

// alone optimises one member, and says why it could not. A single atom has only an energy.
func (e *ensemble) alone(ctx context.Context, l level, x *member) (failure string) {
	dir := filepath.Join(e.Dir, fmt.Sprintf("xtb.%s.%d", l.name, x.number))
	if err := writeFiles(dir, map[string]string{"in.xyz": x.XYZ()}); err != nil {
		return err.Error()
	}
	argv, result := append([]string{"xtb", "in.xyz"}, e.state...), "in.xyz"
	if len(e.Symbols) > 1 {
		argv, result = append(argv, "--opt", l.name), "xtbopt.xyz"
	}
	runErr := e.Run(ctx, dir, "xtb.out", argv...)
	run, err := ReadXTB(filepath.Join(dir, "xtb.out")) // knows better than the exit status what went wrong
	if err == nil {
		err = runErr
	}
	if err != nil {
		return "failed: " + err.Error()
	}
	done, err := ReadXYZ(filepath.Join(dir, result))
	if err != nil {
		return "failed: " + err.Error()
	}
	x.Frame, e.xtb = done[0], run.Version
	x.Energy = &run.Energy
	os.RemoveAll(dir) // a folder left over is swept away with the scratch folder
	return ""
}

func writeFiles(dir string, files map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// account writes the table of conformers and what became of the others.
func (e *ensemble) account(all, conformers []*member) {
	fmt.Fprintf(e.Log, "\n%d conformers within %g kcal/mol by GFN2-xTB, of a pool of %d\nxtb version %s\n\n", len(conformers), e.window, len(all), e.xtb)
	fmt.Fprintf(e.Log, "%4s %16s %9s %7s %7s  %s\n", "", "E/hartree", "kcal/mol", "member", "folded", "optimised")
	for i, x := range conformers {
		fmt.Fprintf(e.Log, "%4d %16.8f %9.3f %7d %7d  %s\n", i+1, *x.Energy, kcalPerHartree*(*x.Energy-*conformers[0].Energy), x.number, x.folded, x.level)
	}
	fmt.Fprintln(e.Log)
	for _, x := range all {
		if x.dropped != "" {
			fmt.Fprintf(e.Log, "member %d of the pool: %s\n", x.number, x.dropped)
		}
	}
}
