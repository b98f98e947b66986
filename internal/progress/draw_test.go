package progress

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"grimperium/internal/journal"
)

// What is before the last batch is another's, and the line that the tail cuts is no event.
func TestDrawLastBatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	put(t, path, batchStart(12), row(1, "before", "OK", ""), row(1, "torn", "OK", ""))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, path, batchStart(3), row(3, "next", "OK", ""))
	for _, tail := range []int64{1 << 20, 0} {
		var out strings.Builder
		d := &display{out: &out, estimate: journal.Estimate{}}
		if tail == 0 {
			now, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			tail = now.Size() - info.Size() + 10
		}
		if err := journal.OpenTail(path, tail).Each(d.add); err != nil {
			t.Fatal(err)
		}
		d.draw(nil, noon)
		if want := "[1/3] next  OK\n"; out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
	}
}

// The terminal's text, drawn over itself.
func TestDraw(t *testing.T) {
	var out strings.Builder
	width := 60
	d := &display{out: &out, estimate: journal.Estimate{},
		size: func() (int, int, error) { return width, 24, nil }, colour: true}
	step := func(now float64, want string, events ...journal.Event) {
		t.Helper()
		out.Reset()
		for _, e := range events {
			d.add(e)
		}
		d.draw(nil, at(now))
		if got := out.String(); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
	const up, frame, end = "\x1b[A\x1b[2K", "\x1b[?7l", "\n\x1b[?7h"
	step(0, "\r\x1b[2K"+frame+"\x1b[?7h")
	step(1, "\r\x1b[2K"+frame+"⠋ mol_1  RDKit parameters  1.0s\n0/2 ["+strings.Repeat("░", 30)+
		"] 0%"+end,
		batchStart(2), start(0, "mol_1", "rdkit"))
	step(2, "\r\x1b[2K"+up+up+"[1/2] mol_1  \x1b[32mOK\x1b[0m  1.5s\n"+frame+
		"1/2 [██████░░░░░░] 50%  about 2s left  1800/h"+end,
		timed(row(1.5, "mol_1", "OK", ""), 1.5))
	width = 30 // the line of the batch takes two rows now
	step(4, "\r\x1b[2K"+up+up+"[2/2] mol_2  \x1b[31mRerun\x1b[0m  a long s…\n"+frame+
		"2/2 100%  1 failed  1800/h"+end,
		row(2, "mol_2", "Rerun", "a long story of a failure"))
	width = 10 // in the middle of a colour
	step(5, "\r\x1b[2K"+up+up+up+"[3/3] mo\x1b[31m\x1b[0m…\n"+frame+"3/3 100%"+end,
		row(2, "mol_3", "Rerun", "a long story of a failure"))
	d.over = true
	step(6, "\r\x1b[2K"+up+frame+"\x1b[?7h")
}

// BenchmarkDraw is what a display of eight molecules with 100,000 to go costs, ten times a second.
func BenchmarkDraw(b *testing.B) {
	d := &display{out: io.Discard, estimate: journal.Estimate{},
		size: func() (int, int, error) { return 100, 30, nil }, colour: true}
	d.add(batchStart(100_000))
	for i := range 2500 {
		mol := fmt.Sprint("mol_", i)
		for _, s := range stages {
			e := start(float64(i), mol, s.Name)
			e.Size = []float64{float64(i % 40), float64(i / 40 % 12)}
			d.add(e)
			e.Event, e.Outcome, e.Seconds = journal.TargetEnd, journal.OK, 0.1+float64(i%40)
			if i < 2492 {
				d.add(e)
			}
		}
		if i < 2492 {
			d.add(row(float64(i), mol, "OK", ""))
		}
	}
	d.lines = nil
	now := 2500.0
	for b.Loop() {
		now += 0.1
		d.draw(nil, at(now))
	}
}
