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
	"strings"

	"grimperium/stages"
)

// What mage reproduce computes, and the numbers that are committed.
const (
	reproduceTable = "testdata/reproduce/molecules.csv"
	expectedPath   = "testdata/reproduce/expected.json"
)

// expected is what a reproduction must give.
type expected struct {
	Programs map[string]string `json:"programs"` // name to version
	// Molecules are the numbers and words of each mol_id, by column of the table or
	// stage/conformer.value.
	Molecules map[string]map[string]any `json:"molecules"`
}

// Reproduce computes testdata/reproduce from nothing, in a temporary folder, and compares every
// number with the committed one. With update it writes the new numbers instead.
func Reproduce(ctx context.Context, update bool, o Options) (err error) {
	ctx, end := begin(ctx)
	defer end(&err)
	was := &expected{}
	if !update {
		data, err := os.ReadFile(expectedPath)
		if err == nil {
			err = json.Unmarshal(data, was)
		}
		if err != nil {
			return fmt.Errorf("%s: %w; mage reproduce -update writes it", expectedPath, err)
		}
	}
	dir, err := os.MkdirTemp("", "grimperium-reproduce-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	o.Table, o.Artefacts = filepath.Join(dir, "molecules.csv"), filepath.Join(dir, "artefacts")
	o.unlogged = true
	data, err := os.ReadFile(reproduceTable)
	if err == nil {
		err = os.WriteFile(o.Table, data, 0o666)
	}
	if err != nil {
		return err
	}
	failed := ended(runBatch(ctx, o))
	if e, ok := errors.AsType[*exit](failed); ok && (update || e.code != exitFailed) {
		return failed
	}
	is, err := collect(o)
	if err != nil {
		return err
	}
	if !update {
		return was.check(os.Stdout, is, failed)
	}
	if data, err = json.MarshalIndent(is, "", " "); err != nil {
		return err
	}
	return os.WriteFile(expectedPath, append(data, '\n'), 0o666)
}

// check prints what differs from the expected numbers. failed is the error of a batch with failed
// molecules: it is returned if they are as expected.
func (was *expected) check(w io.Writer, is *expected, failed error) error {
	n := 0
	for _, values := range is.Molecules {
		n += len(values)
	}
	if different := compare(w, was, is); different > 0 {
		failed = &exit{exitFailed, fmt.Errorf("%d numbers are not reproduced; "+
			"if they are to be so, mage reproduce -update writes the new ones", different)}
	} else if failed == nil {
		fmt.Fprintf(w, "Reproduced: %d numbers and words of %d molecules.\n", n, len(is.Molecules))
	}
	printVersions(w, was.Programs, is.Programs)
	return failed
}

// collect reads what a batch gave: the merged cells without times, and the values of each target
// that have a tolerance.
func collect(o Options) (*expected, error) {
	pr, err := open(o, false)
	if err != nil {
		return nil, err
	}
	out := &expected{map[string]string{}, map[string]map[string]any{}}
	for i := range pr.Table.Len() {
		id := pr.Table.ID(i)
		values := map[string]any{"status": pr.Table.Status(i).String()}
		for _, column := range pr.Pipeline.Merged {
			v := pr.Table.Value(i, column)
			if n, ok := v.(int64); ok {
				v = float64(n) // as encoding/json reads it back
			}
			if v != nil && !strings.HasSuffix(column, "_time") {
				values[column] = v
			}
		}
		log, err := pr.Store.Molecule(id)
		if err != nil {
			return nil, err
		}
		for _, target := range log.Targets() {
			rec := log.Record(target)
			maps.Copy(out.Programs, rec.Programs)
			for name, v := range rec.Values {
				name = target + "." + name
				if x, ok := v.(float64); ok && stages.Tolerance(name) > 0 {
					values[name] = stages.Round9(x)
				}
			}
		}
		out.Molecules[id] = values
	}
	return out, nil
}

// compare prints every difference, and returns how many there are.
func compare(w io.Writer, was, is *expected) (different int) {
	for _, id := range union(was.Molecules, is.Molecules) {
		old, now := was.Molecules[id], is.Molecules[id]
		for _, name := range union(old, now) {
			more := ""
			a, aOK := old[name].(float64)
			b, bOK := now[name].(float64)
			tolerance := stages.Tolerance(name)
			if old[name] == now[name] || aOK && bOK && math.Abs(a-b) <= tolerance {
				continue
			}
			if aOK && bOK && tolerance > 0 {
				more = fmt.Sprintf(" (%.3g apart, %g allowed)", math.Abs(a-b), tolerance)
			}
			different++
			fmt.Fprintf(w, "%s %s: was %s, is %s%s\n", id, name, text(old[name]), text(now[name]), more)
		}
	}
	return different
}

func union[V any](a, b map[string]V) []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(names)
	return slices.Compact(names)
}

func text(v any) string {
	if v == nil {
		return "not there"
	}
	return encode(v)
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
