package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/magefile/mage/mg"

	"grimperium/internal/batch"
	"grimperium/internal/command"
	"grimperium/stages"
)

// expectedPath has the committed numbers of the table molecules.csv beside it.
const expectedPath = "testdata/reproduce/expected.json"

// expected is what a reproduction must give: the versions of the programs, and the numbers and
// words of each mol_id. The key of a number is a column of the table or stage/conformer.value.
type expected struct {
	Programs  map[string]string         `json:"programs"`
	Molecules map[string]map[string]any `json:"molecules"`
}

// Reproduce computes testdata/reproduce from nothing, in a temporary folder, and compares every
// number with the committed one. With update it writes the new numbers instead.
func Reproduce(ctx context.Context, update bool, o Options) error {
	return run(ctx, func(ctx context.Context) error {
		was, is := &expected{}, &expected{map[string]string{}, map[string]map[string]any{}}
		data, err := os.ReadFile(expectedPath)
		if err == nil {
			err = json.Unmarshal(data, was)
		}
		if err != nil && !update {
			return fmt.Errorf("%s: %w; %s reproduce -update writes it", expectedPath, err,
				command.Name)
		}
		dir, err := os.MkdirTemp("", "grimperium-reproduce-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.Table, o.Artefacts = filepath.Join(dir, "molecules.csv"), filepath.Join(dir, "artefacts")
		o.noLogs = true
		if err := os.CopyFS(dir, os.DirFS(filepath.Dir(expectedPath))); err != nil {
			return err
		}
		failed := runBatch(ctx, o)
		if failed != nil && (update || mg.ExitStatus(withExitCode(failed)) != exitFailed) {
			return failed
		}
		collect := func(pr *project) error { return is.collect(ctx, pr) }
		if err := with(o, false, collect); err != nil {
			return err
		}
		if !update {
			return cmp.Or(was.compare(stdout, is), failed)
		}
		if data, err = json.MarshalIndent(is, "", " "); err != nil {
			return err
		}
		return os.WriteFile(expectedPath, append(data, '\n'), 0o666)
	})
}

// collect reads what a batch gave: merged cells without times, and the energies of conformers.
func (is *expected) collect(ctx context.Context, pr *project) error {
	if err := pr.evaluate(ctx); err != nil {
		return err
	}
	for i := range pr.Table.Len() {
		id := pr.Table.ID(i)
		values := map[string]any{"status": pr.Table.Status(i).String()}
		for _, column := range pr.Pipeline.Merged {
			if v := pr.Table.Value(i, column); v != nil && !strings.HasSuffix(column, "_time") {
				values[column] = v
			}
		}
		log, err := pr.Store.Molecule(id)
		if err != nil {
			return err
		}
		for _, target := range log.Targets() {
			maps.Copy(is.Programs, log.Record(target).Programs)
		}
		conformers, _, err := pr.conformers(i)
		if err != nil {
			return err
		}
		for _, c := range conformers {
			values[fmt.Sprintf("conformer %d: hof", c.Rank)] = stages.Round9(c.HOF)
			if c.GFN2 != nil {
				values[fmt.Sprintf("conformer %d: energy", c.Rank)] = stages.Round9(*c.GFN2)
			}
		}
		is.Molecules[id] = values
	}
	return nil
}

// compare prints every difference, and the programs that made the numbers, then and now.
func (was *expected) compare(w io.Writer, is *expected) (err error) {
	all, different := 0, 0
	for _, id := range union(was.Molecules, is.Molecules) {
		old, now := was.Molecules[id], is.Molecules[id]
		all += len(now)
		for _, name := range union(old, now) {
			x, xOK := old[name].(float64)
			y, yOK := now[name].(float64)
			apart, tolerance, more := math.Abs(x-y), stages.Tolerance(name), ""
			if xOK && yOK && tolerance > 0 {
				more = fmt.Sprintf(" (%.3g apart, %g allowed)", apart, tolerance)
			}
			a, b := encode(old[name]), encode(now[name])
			if a != b && (more == "" || apart > tolerance) {
				different++
				fmt.Fprintf(w, "%s %s: was %s, is %s%s\n", id, name, a, b, more)
			}
		}
	}
	if different == 0 {
		fmt.Fprintf(w, "Reproduced: %d numbers and words of %s.\n", all,
			batch.Count(len(is.Molecules), "molecule"))
	} else {
		err = mg.Fatalf(exitFailed, "not reproduced: %s; if what is new is right, %s reproduce "+
			"-update writes it", batch.Count(different, "number"), command.Name)
	}
	for _, name := range union(was.Programs, is.Programs) {
		if a, b := was.Programs[name], is.Programs[name]; a == b {
			fmt.Fprintf(w, "  %s: %s, unchanged\n", name, b)
		} else {
			fmt.Fprintf(w, "  %s: then %q, now %q\n", name, a, b)
		}
	}
	return err
}

// union returns the keys of two maps, sorted.
func union[V any](a, b map[string]V) []string {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	return slices.Compact(keys)
}
