package stages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// ensembleBy runs the search on what embed.py left in dir, and returns conformers.xyz.
func ensembleBy(t *testing.T, w Work, dir, levels string) ([]byte, error) {
	t.Helper()
	w.Args = append([]string{filepath.Join(dir, "pool.xyz")},
		shippedWords(filepath.Join(dir, "molecule.json"), "0", "0", levels)...)
	if err := Builtins()[0].Run(context.Background(), w); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(w.Dir, "conformers.xyz"))
}

// A search that is stopped before any start of xTB goes on from there and ends with the same bytes.
func TestStoppedSearch(t *testing.T) {
	defer func(before time.Duration) { recordedAfter = before }(recordedAfter)
	recordedAfter = 0
	dir := embedded(t, "CCCCCCCC")
	for _, levels := range []string{looseLevels, gfnffLevels} {
		whole := 0
		count := func(ctx context.Context, d, log string, argv ...string) error {
			whole++
			return contacts(ctx, d, log, argv...)
		}
		want, err := ensembleBy(t, work(t, io.Discard, count), dir, levels)
		if err != nil || whole < 3 {
			t.Fatalf("%v after %d starts of xTB", err, whole)
		}
		for stop := range whole {
			kept, starts := map[string][]byte{}, 0
			w := work(t, io.Discard, func(ctx context.Context, d, log string,
				argv ...string) error {
				if starts == stop {
					panic("killed")
				}
				starts++
				return contacts(ctx, d, log, argv...)
			})
			w.Keep = func(key string, part []byte) error { kept[key] = part; return nil }
			w.Kept = func(key string) []byte { return kept[key] }
			func() {
				defer func() { _ = recover() }()
				_, _ = ensembleBy(t, w, dir, levels)
			}()
			again := 0
			w.Dir, w.Run = t.TempDir(), func(ctx context.Context, d, log string,
				argv ...string) error {
				again++
				return contacts(ctx, d, log, argv...)
			}
			got, err := ensembleBy(t, w, dir, levels)
			if err != nil || string(got) != string(want) || stop+again != whole {
				t.Errorf("%s, stopped before start %d: %d starts then, of %d; same ensemble: %t; "+
					"%v", levels, stop+1, again, whole, string(got) == string(want), err)
			}
		}
	}
}

// Parts that run at once give the same bytes. A part that was tampered with is computed again.
func TestPartsAtOnce(t *testing.T) {
	dir := embedded(t, "CCCCCCCC")
	want, err := ensembleBy(t, work(t, io.Discard, contacts), dir, gfnffLevels)
	if err != nil {
		t.Fatal(err)
	}
	w := work(t, io.Discard, contacts)
	w.Each = func(n int, do func(int)) {
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() { do(n - 1 - i) })
		}
		all.Wait()
	}
	w.Kept = func(string) []byte { return []byte(`{"Frames":[],"Failures":["lost"]}`) }
	if got, err := ensembleBy(t, w, dir, gfnffLevels); err != nil || string(got) != string(want) {
		t.Errorf("another ensemble, %v", err)
	}
}

// GFN-FF prepares: what it can't optimise, or turns into another molecule, goes on as it was.
func TestForceFieldFails(t *testing.T) {
	dir := embedded(t, "CCCCCCCC")
	want, err := ensembleBy(t, work(t, io.Discard, contacts), dir, "gfn2:loose")
	if err != nil {
		t.Fatal(err)
	}
	for name, fails := range map[string]func(dir string) error{
		"fails": func(string) error { return errors.New("xtb ended with status 1") },
		"breaks bonds": func(dir string) error {
			for _, file := range []string{"xtb_ensemble.xyz", "xtbopt.xyz"} {
				frames, err := ReadXYZ(filepath.Join(dir, file))
				if errors.Is(err, os.ErrNotExist) {
					continue
				}
				for _, f := range frames {
					f.Coords[0] += 9
				}
				moved := FormatXYZ(frames)
				if err := os.WriteFile(filepath.Join(dir, file), moved, 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		w := work(t, io.Discard, func(ctx context.Context, d, log string, argv ...string) error {
			err := contacts(ctx, d, log, argv...)
			if slices.Contains(argv, "--gfnff") && err == nil {
				err = fails(d)
			}
			return err
		})
		got, err := ensembleBy(t, w, dir, "gfnff:normal; gfn2:loose")
		if err != nil || string(got) != string(want) {
			t.Errorf("GFN-FF %s: another ensemble, %v", name, err)
		}
	}
}

// Batches go on while one brings a conformer near the last of those that are asked for.
func TestBatches(t *testing.T) {
	dir := embedded(t, "CCCCCCCC")
	for _, test := range []struct {
		levels string
		least  int
		most   int
	}{
		{"gfn2:loose; gfn2:normal <6kcal/mol, batches 5 <0.0001kcal/mol", 5, 15},
		{"gfn2:loose; gfn2:normal <6kcal/mol, batches 5 <6kcal/mol", 40, 60},
		{"gfn2:loose; gfn2:normal <0.0001kcal/mol, batches 5 <6kcal/mol", 3, 3}, // --first 3
	} {
		var account strings.Builder
		optimised := 0
		w := work(t, &account, func(ctx context.Context, d, log string, argv ...string) error {
			if strings.Contains(d, "normal") {
				frames, err := ReadXYZ(filepath.Join(d, "xtb.trj"))
				if err != nil {
					return err
				}
				optimised += len(frames)
			}
			return contacts(ctx, d, log, argv...)
		})
		if _, err := ensembleBy(t, w, dir, test.levels); err != nil {
			t.Fatal(err)
		}
		if optimised < test.least || optimised > test.most {
			t.Errorf("%s: %d optimised, want %d to %d\n%s", test.levels, optimised, test.least,
				test.most, account.String())
		}
	}
}

// What a level optimises counts from the lowest of the same isomer, which PM7 may choose.
func TestPicked(t *testing.T) {
	var members []*member
	for i, kcal := range []float64{0, 1, 2.5, 3.5, 4.5, 5.4, 6.5, 7} {
		e := kcal / kcalPerHartree
		isomer := string("aabbaaba"[i])
		members = append(members, &member{Frame: Frame{Energy: &e}, number: i + 1, isomer: isomer})
	}
	for text, want := range map[string][]int{
		"gfn2:normal <3kcal/mol":                         {1, 2, 3, 4},
		"gfn2:normal <5kcal/mol":                         {1, 2, 5, 3, 4, 7},
		"gfn2:normal <3kcal/mol, batches 5 <0.5kcal/mol": {1, 2, 3, 4},
		"gfn2:normal <2kcal/mol, isomers 2 <3kcal/mol":   {1, 2},
		"gfn2:normal <3kcal/mol, isomers 1 <3kcal/mol":   {1, 3},
		"gfn2:normal": {1, 2, 5, 6, 8, 3, 4, 7},
	} {
		l, err := parseLevel(text)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for _, x := range (&ensemble{searchWords: searchWords{first: 2}}).picked(l, members) {
			got = append(got, x.number)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

// Single points say which members are optimised, and are no conformers themselves.
func TestSinglePoints(t *testing.T) {
	dir := embedded(t, "CCCCCCCC")
	var account strings.Builder
	search := func(levels string) []Frame {
		account.Reset()
		data, err := ensembleBy(t, work(t, &account, contacts), dir, levels)
		if err != nil {
			t.Fatal(err)
		}
		frames, err := ParseXYZ(data)
		if err != nil {
			t.Fatal(err)
		}
		return frames
	}
	lowest := func(frames []Frame) float64 {
		e, _ := strconv.ParseFloat(strings.Fields(frames[0].Comment)[0], 64)
		return e
	}
	all := search("gfnff:normal; gfn2:normal")
	few := search("gfnff:normal; gfn2:point; gfn2:normal <0.05kcal/mol")
	if a, b := lowest(all), lowest(few); math.Abs(a-b) > 2e-5 || len(few) > 20 {
		t.Errorf("%d conformers from %.6f on, of %d from %.6f on", len(few), b, len(all), a)
	}
	if text := account.String(); strings.Contains(text, "one by one") ||
		strings.Count(text, ": too high by its single point") < 20 {
		t.Error(text)
	}
}

func TestPromising(t *testing.T) {
	at := func(x float64) *float64 { return &x }
	singles := []*float64{at(7.7), at(1.4), at(7.0), at(7.9), nil, at(0), at(1.5), at(0.4), at(1.3),
		at(0.9)}
	for _, test := range []struct {
		conformers int
		singles    []*float64
		first      int
		want       string
	}{
		{10, singles, 3, "[0 1 2 5 7 9]"}, // of four lower ones the three lowest
		{9, singles, 3, "[0 1 2 5 7 8]"},
		{12, singles, 1, "[0 5]"},
		{2, singles, 3, "[0 1]"},
		{4, nil, 3, "[0 1 2]"},
		{4, []*float64{nil, nil, nil, at(-5)}, 3, "[0 1 2]"}, // lower than what?
		{4, []*float64{nil, at(3), nil, at(2)}, 3, "[0 1 2 3]"},
		{0, nil, 3, "[]"},
	} {
		got := fmt.Sprint(Promising(test.conformers, test.singles, test.first))
		if got != test.want {
			t.Errorf("%d conformers, first %d: %s, want %s", test.conformers, test.first, got,
				test.want)
		}
	}
}
