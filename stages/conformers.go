package stages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Builtin is a command of pipeline.hcl that runs inside Grimperium and may start declared programs.
type Builtin struct {
	Name, Description string
	Version           string // part of the fingerprint: with another, the result may be another
	// Check says what is wrong with the words after its name, whatever the molecule is.
	Check func(words []string) error
	Run   func(ctx context.Context, w Work) error
}

// Work is one call of a Builtin.
type Work struct {
	Dir  string   // the target's scratch folder
	Args []string // the command's words after its name; names of files are absolute or start in Dir
	// Run starts a program by the name that pipeline.hcl declares, in dir below Dir, and waits for
	// it. Both output streams go to the file log in dir. It fails when the program could not be
	// started, timed out, or ended with a non-zero exit status.
	Run func(ctx context.Context, dir, log string, argv ...string) error
	Log io.Writer // a readable account of the work
	// Each calls do for 0 to n-1, at once for as many as there are idle cores.
	Each func(n int, do func(int))
	// Keep records a part of the work for a later attempt, which finds it by Kept. The key says
	// what the part is made of. Both may be called at once.
	Keep func(key string, part []byte) error
	Kept func(key string) []byte
}

func (w Work) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(w.Dir, name)
}

// Builtins returns the commands that need no program of that name.
func Builtins() []Builtin {
	return []Builtin{{
		Name: "conformers",
		Description: string(conformersForm) + searchForm + ": optimises starting geometries " +
			"with GFN2-xTB, level by level, and writes the different ones to conformers.xyz, the " +
			"most stable first",
		Version: "7",
		Check:   conformersForm.check,
		Run:     runConformers,
	}, {
		Name: "merge_conformers",
		Description: string(mergeForm) + searchForm +
			" --isomer SMILES: optimises the conformers of two searches level by level to the " +
			"same criteria of GFN2-xTB, and writes the different ones to conformers.xyz, the " +
			"most stable first",
		Version: "5",
		Check:   mergeForm.check,
		Run:     runMerge,
	}}
}

// ensemble is the work on one molecule.
type ensemble struct {
	Work
	searchWords
	*Matcher
	Molecule
	xtb string // its version, once it ran
}

// runConformers optimises starting geometries. A lone geometry needs no level that only sorts,
// which is a level without a limit.
func runConformers(ctx context.Context, w Work) error {
	e, members, err := readEnsemble(w, conformersForm)
	if err != nil {
		return err
	}
	first := slices.IndexFunc(e.levels, func(l level) bool { return l.method == "gfn2" })
	if e.levels[first].limit < math.Inf(1) && len(members) > 1 {
		return errors.New("conformers: the first level of gfn2 can't have a limit, since the " +
			"energies of the starting geometries are not of GFN2-xTB")
	}
	for len(members) == 1 && len(e.levels) > 1 && e.levels[0].limit == math.Inf(1) {
		e.levels = e.levels[1:]
	}
	return e.refine(ctx, members, members)
}

// refine optimises members of all level by level, and writes what is left.
func (e *ensemble) refine(ctx context.Context, all, members []*member) (err error) {
	for _, l := range e.levels {
		tried := members
		switch {
		case l.isomers > 0:
			members, err = e.chooseIsomers(ctx, l, tried)
		case l.batch > 0:
			members, err = e.inBatches(ctx, l, tried)
		default:
			_, err = e.optimise(ctx, l, e.picked(l, tried))
			members = undropped(tried)
		}
		if err != nil {
			return err
		}
		if l.name != point {
			members = optimised(members)
		}
		if len(members) == 0 {
			return fmt.Errorf("none of %d geometries is left after the %s optimisation: the "+
				"first %s", len(tried), l, tried[0].dropped)
		}
		if l.isomers == 0 {
			ranked, unranked := parted(members)
			members = append(e.distinct(ranked, l.same, e.window+l.keep), unranked...)
			fmt.Fprintf(e.Log, "after the %s optimisation: %d different\n", l, len(members))
		}
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

// parted parts members that have an energy from those that GFN-FF could not optimise.
func parted(members []*member) (ranked, unranked []*member) {
	for _, x := range members {
		if x.Energy != nil {
			ranked = append(ranked, x)
		} else {
			unranked = append(unranked, x)
		}
	}
	return ranked, unranked
}

// optimised drops members of which only a single point is known.
func optimised(members []*member) []*member {
	for _, x := range members {
		if x.level == "gfn2:"+point {
			x.dropped = "too high by its single point"
		}
	}
	return undropped(members)
}

// inBatches optimises members of each isomer in batches by energy. It ends with the first batch
// that brings nothing near the last of the conformers that are asked for.
func (e *ensemble) inBatches(ctx context.Context, l level, members []*member) ([]*member, error) {
	for _, own := range byIsomer(e.picked(l, members)) {
		var found []*member
		for batch := range slices.Chunk(own, l.batch) {
			done, err := e.optimise(ctx, l, batch)
			if err != nil {
				return nil, err
			}
			found = e.distinct(append(found, done...), l.same, e.window+l.keep)
			isNear := func(x *member) bool {
				return len(found) <= e.first || e.above(x, found[e.first-1]) < l.near
			}
			if !slices.ContainsFunc(done, isNear) {
				break
			}
		}
	}
	return undropped(members), nil
}

// byIsomer are the members of each stereoisomer, in their order.
func byIsomer(members []*member) (isomers [][]*member) {
	at := map[string]int{}
	for _, x := range members {
		i, seen := at[x.isomer]
		if !seen {
			i, isomers = len(isomers), append(isomers, nil)
			at[x.isomer] = i
		}
		isomers[i] = append(isomers[i], x)
	}
	return isomers
}

// chooseIsomers drops the stereoisomers that PM7 would not find the lowest: of each the lowest few
// members are optimised for that. The limit of the level is wide, since "loose" ends up to 4
// kcal/mol above "normal" (propranolol).
func (e *ensemble) chooseIsomers(ctx context.Context, l level, members []*member) (
	out []*member, err error) {
	count := len(byIsomer(members))
	if count == 1 {
		return members, nil
	}
	left, err := e.optimise(ctx, l, e.picked(l, members))
	if err != nil {
		return nil, err
	}
	byEnergy(left)
	near, account := map[string]bool{}, ""
	for _, own := range byIsomer(left) {
		isomer, above := own[0].isomer, e.above(own[0], left[0])
		near[isomer] = above <= l.keep
		account += fmt.Sprintf("%9.3f  %s\n", above, isomer)
	}
	for _, x := range members {
		if x.dropped == "" && !near[x.isomer] {
			x.dropped = "is of a stereoisomer of higher energy"
		}
	}
	out = undropped(members)
	byEnergy(out)
	fmt.Fprintf(e.Log, "%d stereoisomers; kcal/mol by GFN2-xTB of the lowest conformers:\n%s",
		count, account)
	return out, nil
}

// above is how far a member lies above another, kcal/mol.
func (e *ensemble) above(x, other *member) float64 {
	return kcalPerHartree * (*x.Energy - *other.Energy)
}

// readEnsemble reads the words of a command, and the members in its first file.
func readEnsemble(w Work, form form) (*ensemble, []*member, error) {
	words, err := form.parse(w.Args)
	if err != nil {
		return nil, nil, err
	}
	frames, err := ReadXYZ(w.path(w.Args[0]))
	if err != nil {
		return nil, nil, err
	}
	e := &ensemble{Work: w, searchWords: words}
	if e.Molecule, err = ReadMolecule(w.path(e.molecule)); err != nil {
		return nil, nil, err
	}
	e.Matcher = NewMatcher(e.Symbols, e.Bonds)
	var members []*member
	for i, f := range frames {
		if err := e.fits(f); err != nil {
			return nil, nil, fmt.Errorf("%s: geometry %d does not fit %s: %w", w.Args[0], i+1,
				e.molecule, err)
		}
		members = append(members, &member{Frame: f, start: f, number: i + 1, isomer: f.Isomer})
	}
	return e, members, nil
}

// optimise optimises members. It drops those that failed, reacted or turned over, and returns the
// others. GFN-FF drops none: its errors are not GFN2-xTB's, and the member stays as it was.
func (e *ensemble) optimise(ctx context.Context, l level, members []*member) ([]*member, error) {
	parts := slices.Collect(slices.Chunk(members, e.partSize(l)))
	results, errs := make([]part, len(parts)), make([]error, len(parts))
	e.Each(len(parts), func(i int) { results[i], errs[i] = e.part(ctx, l, parts[i]) })
	if err := cmp.Or(ctx.Err(), errors.Join(errs...)); err != nil {
		return nil, err
	}
	for i, p := range results {
		if p.Note != "" {
			fmt.Fprintf(e.Log, "%s, all in one run of xTB: %s; so one by one\n", l, p.Note)
		}
		e.xtb = cmp.Or(p.Version, e.xtb)
		for k, x := range parts[i] {
			if err := e.take(l, x, p.Frames[k], p.Failures[k]); err != nil {
				return nil, err
			}
		}
	}
	return undropped(members), nil
}

// take gives a member what xTB made of it.
func (e *ensemble) take(l level, x *member, optimised Frame, failure string) (err error) {
	before := x.Frame
	x.level = l.String()
	if failure == "" {
		x.Frame = optimised
		if failure, err = e.changed(x, "reacted"); err != nil {
			return fmt.Errorf("xTB gave another molecule for member %d of the starting "+
				"conformers: %w", x.number, err)
		}
	}
	if failure != "" && l.method == "gfnff" {
		x.Frame, failure = before, ""
		x.Energy = nil // that of the start is of another force field
	}
	x.dropped = failure
	return nil
}

func undropped(members []*member) []*member {
	dropped := func(x *member) bool { return x.dropped != "" }
	return slices.DeleteFunc(slices.Clone(members), dropped)
}

// changed says how a member has become another molecule than its start, "" where it has not.
// reacted is the word for other bonds.
func (e *ensemble) changed(x *member, reacted string) (string, error) {
	changes, err := e.BondChanges(x.start, x.Frame, e.reach)
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

// picked are the members of each isomer that a level optimises. Those of a level with a limit are
// sorted by energy.
func (e *ensemble) picked(l level, members []*member) (out []*member) {
	for _, own := range byIsomer(members) {
		lowest := own[0]
		if l.isomers > 0 {
			lowest = members[0]
		}
		for i, x := range own {
			low := l.limit == math.Inf(1) || x == lowest || e.above(x, lowest) <= l.limit
			switch {
			case l.isomers > 0:
				low = low && i < l.isomers
			case l.twins != nil:
				low = (low || i < e.first) && slices.ContainsFunc(own, func(other *member) bool {
					return other != x && e.alike(other, x, *l.twins)
				})
			default:
				low = low || i < e.first
			}
			if low {
				out = append(out, x)
			}
		}
	}
	return out
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
	fmt.Fprintf(e.Log, "\n%d conformers within %g kcal/mol by GFN2-xTB, of %d starting "+
		"geometries\nxtb version %s\n\n", len(conformers), e.window, len(all), e.xtb)
	fmt.Fprintf(e.Log, "%4s %16s %9s %7s %7s  %s\n", "", "E/hartree", "kcal/mol", "member", "same",
		"optimised")
	for i, x := range conformers {
		fmt.Fprintf(e.Log, "%4d %16.8f %9.3f %7d %7d  %s\n", i+1, *x.Energy,
			e.above(x, conformers[0]), x.number, x.same, x.level)
	}
	fmt.Fprintln(e.Log)
	for _, x := range all {
		if x.dropped != "" {
			fmt.Fprintf(e.Log, "member %d: %s\n", x.number, x.dropped)
		}
	}
}
