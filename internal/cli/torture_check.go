package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"grimperium/internal/batch"
	"grimperium/internal/journal"
	"grimperium/internal/store"
)

// check is what must hold whatever happened.
func (v *victim) check() error {
	if err := v.gone(); err != nil {
		return err
	}
	rows, err := v.read("table.csv")
	if err != nil {
		return fmt.Errorf("the table: %w", err)
	}
	if len(rows) != len(v.original) {
		return fmt.Errorf("the table has %d lines, not %d", len(rows), len(v.original))
	}
	for n, row := range rows {
		was := v.original[n]
		for _, foreign := range []int{0, 1, 2, 5, 6} {
			if row[foreign] != was[foreign] {
				return fmt.Errorf("line %d: %q became %q", n, was[foreign], row[foreign])
			}
		}
		switch {
		case row[3] == "OK" && v.current(row) && !v.edited[row[0]] && !v.back:
			v.ok[row[0]] = true
		case v.ok[row[0]]:
			return fmt.Errorf("%s was OK and is %s", row[0], row[3])
		}
	}
	if err := v.twice(); err != nil {
		return err
	}
	st, err := store.Open(v.path("artefacts"))
	if err != nil {
		return err
	}
	claims, err := batch.Claim(v.path("table.csv"), st)
	claims.Release()
	return err
}

// current says whether a row is of this phase: its text is the first of its sorted lines, which is the setting.
func (v *victim) current(row []string) bool {
	return row[7] == fmt.Sprint(v.word)
}

// twice is an error if a target that had ended well was computed again.
func (v *victim) twice() error {
	for {
		events, err := v.journal.Next()
		if err != nil || len(events) == 0 {
			return err
		}
		for _, e := range events {
			if e.Event != journal.TargetEnd || e.Outcome != journal.OK {
				continue
			}
			name := fmt.Sprintf("%s/%s/%d with %d", e.Mol, e.Stage, e.Instance, v.word)
			if v.finished[name] {
				return fmt.Errorf("%s was computed a second time", name)
			}
			v.finished[name] = true
			v.count["targets"]++
		}
	}
}

// gone is an error if a program of the batch lives on; the guard has a moment to end it.
func (v *victim) gone() error {
	var left []int
	for range 200 {
		if left = v.programs(); len(left) == 0 {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("these processes live on: %v", left)
}

// programs are the processes that work in the scratch folder (on Linux).
func (v *victim) programs() []int {
	var out []int
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		if dir, err := os.Readlink(link); err == nil && strings.HasPrefix(dir, v.path("artefacts")+"/") {
			var pid int
			if _, err := fmt.Sscanf(link, "/proc/%d/cwd", &pid); err == nil {
				out = append(out, pid)
			}
		}
	}
	return out
}

var changing = regexp.MustCompile(`(?m),OK,\d*,§|\d{4}-\d\d-\d\dT[0-9:+-]+|\d{8}-\d{6}-\d+`)

// compare runs the batch to its end, and another one that nobody disturbs, and compares the tables without times, names of batches and reruns.
func (v *victim) compare() error {
	run := func() ([]byte, error) {
		for range 2 { // the second is up to date
			cmd, err := v.start()
			if err == nil {
				err = cmd.Wait()
			}
			if err != nil {
				return nil, fmt.Errorf("the last batch: %w: %s", err, v.said())
			}
		}
		if litter, _ := filepath.Glob(v.path("artefacts", ".*")); len(litter) != 2 { // the index and the lock
			return nil, fmt.Errorf("litter: %v", litter)
		}
		if litter, _ := filepath.Glob(v.path(".table.csv*")); len(litter) != 1 {
			return nil, fmt.Errorf("litter: %v", litter)
		}
		table, err := os.ReadFile(v.path("table.csv"))
		return changing.ReplaceAll(table, []byte("#")), err
	}
	disturbed, err := run()
	if err == nil {
		err = v.check()
	}
	if err != nil {
		return err
	}
	if !strings.Contains(v.said(), "up to date") {
		return fmt.Errorf("after all was done, something was done again: %s", v.said())
	}
	for _, move := range [][2]string{{"artefacts", "tormented"}, {"table.csv", "tormented.csv"}, {"start.csv", "table.csv"}} {
		err = errors.Join(err, os.Rename(v.path(move[0]), v.path(move[1])))
	}
	undisturbed, e := run()
	if err = errors.Join(err, e); err == nil && !bytes.Equal(disturbed, undisturbed) {
		err = errors.New("the table is not that of an undisturbed batch: compare table.csv with tormented.csv")
	}
	return err
}
