package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"

	"grimperium/csvmerge"
	"grimperium/internal/store"
)

// The folder of what mage reproduce computes, and its files.
const (
	reproduceDir      = "testdata/reproduce"
	reproduceTable    = "molecules.csv"
	reproduceExpected = "expected.json"
)

// tolerances say how far a number may be from the committed one; one that is not here must be the same. For 509 of 513 small species the heat of
// formation by MOPAC 22.0.6 is within 0.05 kcal/mol of the one published with MOPAC; the other tolerances are choices of the same order.
var tolerances = map[string]float64{
	"hof": 0.05, "most_stable_hof": 0.05, "delta_1": 0.05, "delta_2": 0.05, "delta_3": 0.05, "spread": 0.1, // kcal/mol
	"energy": 1e-4,               // hartree; 0.06 kcal/mol
	"homo":   0.01, "lumo": 0.01, // eV
	"dipole": 0.05, // debye
}

// expected is what a reproduction must give.
type expected struct {
	Programs  map[string]string         `json:"programs"`  // name to version
	Molecules map[string]map[string]any `json:"molecules"` // mol_id to column of the table, or stage/conformer.value, to a number or a text
}

// Reproduce computes testdata/reproduce from nothing, in a folder of its own, and compares every number with the committed one; with update it writes
// the new ones instead.
func Reproduce(ctx context.Context, update bool, o Options) error {
	ctx, stop := signals(ctx)
	defer stop()
	return ended(reproduce(ctx, os.Stdout, update, o))
}

func reproduce(ctx context.Context, w io.Writer, update bool, o Options) error {
	was, err := readExpected()
	if err != nil && !(update && errors.Is(err, os.ErrNotExist)) {
		return err
	}
	dir, err := os.MkdirTemp("", "grimperium-reproduce-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	data, err := os.ReadFile(filepath.Join(reproduceDir, reproduceTable))
	if err != nil {
		return err
	}
	o.unlogged = true
	o.Table, o.Artefacts = filepath.Join(dir, reproduceTable), filepath.Join(dir, "artefacts")
	if err := os.WriteFile(o.Table, data, 0o644); err != nil {
		return err
	}
	failed := runBatch(ctx, o)
	var e *exit
	if failed != nil && !(errors.As(failed, &e) && e.code == exitFailed) {
		return failed
	}
	is, err := collect(o)
	if err != nil {
		return err
	}
	if update {
		if failed != nil {
			return failed
		}
		return writeExpected(is)
	}
	different := compare(w, was, is)
	if different > 0 {
		printVersions(w, was.Programs, is.Programs)
		return &exit{exitFailed, fmt.Errorf("%d numbers are not reproduced; if they are to be so, mage reproduce -update writes the new ones", different)}
	}
	if failed != nil {
		return failed
	}
	fmt.Fprintf(w, "Reproduced: %d numbers and words of %d molecules.\n", size2(is.Molecules), len(is.Molecules))
	printVersions(w, was.Programs, is.Programs)
	return nil
}

func size2(m map[string]map[string]any) (n int) {
	for _, values := range m {
		n += len(values)
	}
	return n
}

// collect reads what a batch gave: the merged cells but times, and of each target the values that tolerances knows.
func collect(o Options) (*expected, error) {
	p, err := load(o)
	if err != nil {
		return nil, err
	}
	t, err := csvmerge.Read(o.Table)
	if err != nil {
		return nil, err
	}
	st, err := store.Open(o.Artefacts)
	if err != nil {
		return nil, err
	}
	out := &expected{map[string]string{}, map[string]map[string]any{}}
	for i := range t.Len() {
		id := t.ID(i)
		values := map[string]any{"status": t.Status(i).String()}
		for _, column := range p.Merged {
			if v := t.Value(i, column); v != nil && !strings.HasSuffix(column, "_time") {
				values[column] = plain(v)
			}
		}
		man, err := st.Manifest(id)
		if err != nil {
			return nil, err
		}
		for target, rec := range man.Targets {
			maps.Copy(out.Programs, rec.Programs)
			if target == minimumStage { // may stop short on one processor alone; the lower of two results counts
				continue
			}
			for name, v := range rec.Values {
				if x, ok := v.(float64); ok && tolerances[name] > 0 {
					values[target+"."+name] = round9(x)
				}
			}
		}
		out.Molecules[id] = values
	}
	return out, nil
}

// plain makes a value as encoding/json would read it back.
func plain(v any) any {
	if n, ok := v.(int64); ok {
		return float64(n)
	}
	return v
}

// compare tells of every difference, and returns how many there are.
func compare(w io.Writer, was, is *expected) (different int) {
	tell := func(id, name string, old, now any, more string) {
		different++
		fmt.Fprintf(w, "%s %s: was %s, is %s%s\n", id, name, text(old), text(now), more)
	}
	for _, id := range union(was.Molecules, is.Molecules) {
		old, now := was.Molecules[id], is.Molecules[id]
		for _, name := range union(old, now) {
			a, aOK := old[name].(float64)
			b, bOK := now[name].(float64)
			tolerance := tolerances[name[strings.LastIndex(name, ".")+1:]]
			switch {
			case aOK && bOK && math.Abs(a-b) <= tolerance:
			case aOK && bOK && tolerance > 0:
				tell(id, name, old[name], now[name], fmt.Sprintf(" (%.3g apart, %g allowed)", math.Abs(a-b), tolerance))
			case old[name] != now[name]:
				tell(id, name, old[name], now[name], "")
			}
		}
	}
	return different
}

func union[V any](a, b map[string]V) []string {
	all := append(slices.Collect(maps.Keys(a)), slices.Collect(maps.Keys(b))...)
	slices.Sort(all)
	return slices.Compact(all)
}

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return "not there"
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprintf("%q", v)
}

// printVersions names the programs that made the numbers, then and now.
func printVersions(w io.Writer, was, is map[string]string) {
	for _, name := range union(was, is) {
		if was[name] == is[name] {
			fmt.Fprintf(w, "  %s: %s, as then\n", name, is[name])
		} else {
			fmt.Fprintf(w, "  %s: then %q, now %q\n", name, was[name], is[name])
		}
	}
}

func readExpected() (*expected, error) {
	path := filepath.Join(reproduceDir, reproduceExpected)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w; mage reproduce -update writes it", err)
	}
	e := &expected{}
	if err := json.Unmarshal(data, e); err != nil {
		return nil, fmt.Errorf("%s: %w; mage reproduce -update writes it anew", path, err)
	}
	return e, nil
}

func writeExpected(e *expected) error {
	data, err := json.MarshalIndent(e, "", " ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(reproduceDir, reproduceExpected), append(data, '\n'), 0o644, renameio.WithTempDir(reproduceDir))
}
