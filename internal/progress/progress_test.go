package progress

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cheggaaa/pb/v3"

	"grimperium/internal/journal"
)

var (
	noon   = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	stages = []journal.Stage{{Name: "rdkit", Title: "RDKit parameters"},
		{Name: "preopt", Title: "Pre-optimization"},
		{Name: "search", Title: "Conformer search"}, {Name: "pm7", Title: "MOPAC PM7 calculation"},
		{Name: "final"}}
)

var over = journal.Event{Time: at(200), Event: journal.BatchEnd, Outcome: journal.Done}

func at(seconds float64) time.Time {
	return noon.Add(time.Duration(seconds * float64(time.Second)))
}

func batchStart(total int) journal.Event {
	return journal.Event{Time: noon, Event: journal.BatchStart, Total: total, Work: float64(total),
		Jobs: 1, Stages: stages}
}

func start(seconds float64, mol, stage string) journal.Event {
	return journal.Event{Time: at(seconds), Event: journal.TargetStart, Mol: mol, Stage: stage}
}

// end is of a target that was restored, of which nothing is learnt.
func end(seconds float64, mol, stage string) journal.Event {
	return journal.Event{Time: at(seconds), Event: journal.TargetEnd, Mol: mol, Stage: stage,
		Outcome: journal.Restored}
}

func row(seconds float64, mol, status, err string) journal.Event {
	return journal.Event{Time: at(seconds), Event: journal.Row, Mol: mol, Outcome: status,
		Error: err}
}

// instance makes an event one of the n-th of several targets of its stage.
func instance(e journal.Event, n, of int) journal.Event {
	e.Instance, e.Instances = n, of
	return e
}

func timed(e journal.Event, s float64) journal.Event {
	e.Seconds = s
	return e
}

func retried(e journal.Event) journal.Event {
	e.Retry = true
	return e
}

// past is what is known from before, when a target of each of these stages took so many seconds.
func past(seconds map[string]float64) journal.Estimate {
	f := journal.Estimate{}
	for stage, s := range seconds {
		e := timed(end(0, "old", stage), s)
		e.Outcome = journal.OK
		f.Add(start(0, "old", stage))
		f.Add(e)
	}
	return f
}

func TestFrame(t *testing.T) {
	tests := []struct {
		name   string
		events []journal.Event
		now    float64
		want   []string
	}{
		{"no batch", nil, 0, nil},
		{"nothing under way", []journal.Event{batchStart(4)}, 1,
			[]string{"0/4 [" + strings.Repeat("░", 30) + "] 0%"}},
		{"a stage that was never timed", []journal.Event{batchStart(4),
			start(0, "mol_1", "preopt")}, 3,
			[]string{"⠋ mol_1  [██████░░░░░░░░░░░░░░░░░░░░░░░░]  Pre-optimization  3.0s",
				"0/4 [" + strings.Repeat("░", 30) + "] 0%"}},
		{"by the time", []journal.Event{batchStart(4), start(0, "mol_00042", "search")}, 14.1,
			[]string{"⠙ mol_00042  [██████████████░░░░░░░░░░░░░░░░]  Conformer search  14s of " +
				"about 40s",
				"0/4 [" + strings.Repeat("░", 30) + "] 0%"}},
		{"longer than expected", []journal.Event{batchStart(4), start(0, "mol_1", "search")}, 100,
			[]string{"⠋ mol_1  [█████████████████░░░░░░░░░░░░░]  Conformer search  1m40s of " +
				"about 40s",
				"0/4 [" + strings.Repeat("░", 30) + "] 0%"}},
		{"between two stages", []journal.Event{batchStart(4), start(0, "mol_1", "search"),
			end(9.9, "mol_1", "search")}, 10,
			[]string{"⠋ mol_1  [██████████████████░░░░░░░░░░░░]  Conformer search  10s of about 40s",
				"0/4 [" + strings.Repeat("░", 30) + "] 0%"}},
		{"waiting for the table", []journal.Event{batchStart(4), start(0, "m", "search"),
			end(9, "m", "search"),
			start(9, "n", "final"), end(9.99, "n", "final"), start(9.9, "o", "rdkit")}, 10,
			[]string{"⠋ o  [░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░]  RDKit parameters  0.1s",
				"0/4 [" + strings.Repeat("░", 30) + "] 0%"}},
		{"no more than there are jobs", []journal.Event{batchStart(4), start(0, "m", "rdkit"),
			end(9.8, "m", "rdkit"),
			start(0, "n", "rdkit"), end(9.9, "n", "rdkit"), start(0, "o", "rdkit"),
			end(9.85, "o", "rdkit")}, 10,
			[]string{"⠋ n  [██████░░░░░░░░░░░░░░░░░░░░░░░░]  RDKit parameters  10s",
				"0/4 [" + strings.Repeat("░", 30) + "] 0%"}},
		{"for each conformer", []journal.Event{batchStart(4), instance(start(0, "m", "pm7"), 1, 3),
			instance(end(2, "m", "pm7"), 1, 3),
			instance(start(2, "m", "pm7"), 2, 3)}, 3,
			[]string{"⠋ m  [█████████████████████░░░░░░░░░]  MOPAC PM7 calculation 2/3  3.0s of " +
				"about 6.0s",
				"0/4 [" + strings.Repeat("░", 30) + "] 0%"}},
		{"the last stage, without a title", []journal.Event{batchStart(4), start(0, "m", "final")},
			1,
			[]string{"⠋ m  [████████████████████████░░░░░░]  final  1.0s", "0/4 [" +
				strings.Repeat("░", 30) + "] 0%"}},
		{"a stage that has no part of the bar", []journal.Event{batchStart(4),
			start(0, "m", "rdkit"), start(1, "m", "check"), start(1, "n", "check")}, 1,
			[]string{"⠋ m  [░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░]  RDKit parameters  1.0s", "0/4 [" +
				strings.Repeat("░", 30) + "] 0%"}},
		{"two, and some done", []journal.Event{batchStart(8), start(0, "a", "rdkit"),
			start(0, "mol_2", "rdkit"), start(0, "c", "rdkit"),
			row(5, "c", "OK", ""), start(6, "a", "preopt"), row(7, "x", "Rerun", "why")}, 10,
			[]string{"⠋ a      [██████░░░░░░░░░░░░░░░░░░░░░░░░]  Pre-optimization  4.0s",
				"⠋ mol_2  [░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░]  RDKit parameters  10s",
				"2/8 [" + strings.Repeat("█", 7) + strings.Repeat("░", 23) +
					"] 25%  1 failed  about 17s left  720/h"}},
		{"interrupted", []journal.Event{batchStart(4), start(0, "m", "rdkit"),
			{Event: journal.TargetEnd, Mol: "m", Stage: "rdkit", Outcome: journal.Interrupted}}, 1,
			[]string{"0/4 [" + strings.Repeat("░", 30) + "] 0%"}},
		{"more attempts", []journal.Event{batchStart(4), start(0, "m", "rdkit"),
			end(1, "m", "rdkit"), retried(row(1, "m", "Rerun", "no")),
			retried(row(1, "n", "Rerun", "no")), start(1, "o", "rdkit")}, 1,
			[]string{"⠋ o  [░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░]  RDKit parameters  0.0s",
				"  2 failed, trying again with other settings", "0/4 [" + strings.Repeat("░", 30) +
					"] 0%"}},
		{"another attempt", []journal.Event{batchStart(4), retried(row(1, "m", "Rerun", "no")),
			retried(row(1, "n", "Rerun", "no")), start(1, "m", "rdkit"), row(1, "n", "Skip", "no")},
			1,
			[]string{"⠋ m  [░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░]  RDKit parameters  0.0s",
				"  1 failed, trying again with other settings",
				"1/4 [" + strings.Repeat("█", 7) + strings.Repeat("░", 23) +
					"] 25%  1 failed  about 2s left  3600/h"}},
		{"stopping", []journal.Event{batchStart(4), start(0, "m", "rdkit"), row(1, "n", "OK", ""),
			start(0, "o", "rdkit"), {Event: journal.Stopping}, end(1, "o", "rdkit")}, 1,
			[]string{"⠋ m  [░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░]  RDKit parameters  1.0s",
				"  stopping: no new target starts, 1 under way", "1/4 [" + strings.Repeat("█", 7) +
					strings.Repeat("░", 23) + "] 25%  3600/h"}},
		{"ending programs", []journal.Event{batchStart(4), start(0, "m", "rdkit"),
			{Event: journal.Stopping}, {Event: journal.Interrupted}}, 1,
			[]string{"⠋ m  [░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░]  RDKit parameters  1.0s",
				"  interrupted, ending programs", "0/4 [" + strings.Repeat("░", 30) + "] 0%"}},
		{"ended", []journal.Event{batchStart(1), start(0, "m", "rdkit"), row(1, "m", "ok", ""),
			start(1, "n", "rdkit"), over}, 125, nil},
		{"control characters", []journal.Event{batchStart(4), start(0, "m\x1b[2J\n", "rdkit")}, 1,
			[]string{"⠋ m [2J  [░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░]  RDKit parameters  1.0s", "0/4 [" +
				strings.Repeat("░", 30) + "] 0%"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := &display{estimate: past(map[string]float64{"search": 40, "pm7": 2})}
			for _, e := range tt.events {
				d.add(e)
			}
			got := d.frame(100, 30, at(tt.now))
			for i := range got {
				got[i] = strings.TrimRight(got[i], " ")
			}
			if g, w := strings.Join(got, "\n"), strings.Join(tt.want, "\n"); g != w {
				t.Errorf("got\n%s\nwant\n%s", g, w)
			}
		})
	}
}

// No line is as wide as the terminal, whatever its width and whatever is shown; and there are few
// lines.
func TestFrameFits(t *testing.T) {
	d := &display{estimate: past(map[string]float64{"search": 3600})}
	d.add(batchStart(1000))
	for i := range 20 {
		d.add(start(float64(i), fmt.Sprintf("分子_%d", i), "search"))
	}
	d.add(row(5, "x", "Skip", ""))
	for width := 1; width < 150; width++ {
		lines := d.frame(width, 30, at(1e5))
		if len(lines) != 21 {
			t.Fatalf("%d lines", len(lines))
		}
		for _, line := range lines {
			if n := pb.CellCount(cut(line, width)); n >= max(width, 2) {
				t.Errorf("width %d: %d cells in %q", width, n, line)
			}
		}
	}
	if got := d.frame(100, 6, at(1e5)); len(got) != 5 || got[3] != "  and 17 more" {
		t.Errorf("on six rows: %q", got)
	}
	if got := cut(strings.Repeat("é", 1<<20), 10); got != "éééééééé…" {
		t.Errorf("a long text is cut to %q", got)
	}
}

func TestBrief(t *testing.T) {
	for seconds, want := range map[float64]string{-1: "0.0s", 0.04: "0.0s", 3.21: "3.2s",
		9.94: "9.9s",
		9.96: "10s", 59.4: "59s", 59.6: "1m0s", 125: "2m5s", 599: "9m59s", 599.6: "10m",
		3599.6: "1h0m",
		3780:   "1h3m", 86400*2 + 4*3600: "2d4h", 86400*30 - 1: "30d0h"} {
		if got := brief(at(seconds).Sub(noon)); got != want {
			t.Errorf("%v s: %q, want %q", seconds, got, want)
		}
	}
}

func put(t *testing.T, path string, events ...journal.Event) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, e := range events {
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(f, "%s\n", b)
	}
}

// watched is what Watch writes to a file when it is told to stop.
func watched(t *testing.T, journalPath string) string {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	NewScreen(out).Watch(ctx, journalPath)
	b, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWatchPlain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	begin := batchStart(12)
	put(t, path, batchStart(1), row(0, "old", "OK", ""), over,
		begin, start(0, "mol_1", "rdkit"), start(1, "mol_2", "rdkit"),
		timed(row(3.2, "mol_1", "OK", ""), 3.2), row(4, "mol_2", "Rerun",
			"mol_2/pm7: MOPAC\n\x1b[1mfailed"),
		timed(row(5, "mol_3", "OK", ""), 125), retried(row(6, "mol_5", "Rerun", "no")),
		retried(row(6, "mol_6", "Rerun", "no")),
		row(6, "mol_4", "OK", ""), start(7, "mol_5", "rdkit"), start(7, "mol_6", "rdkit"),
		row(8, "mol_5", "OK", ""), journal.Event{Event: journal.Stopping},
		journal.Event{Event: journal.Interrupted})
	want := "[ 1/12] mol_1  OK  3.2s\n[ 2/12] mol_2  Rerun  pm7: MOPAC [1mfailed\n[ 3/12] mol_3  " +
		"OK  2m5s\n[ 4/12] mol_4  OK\n2 failed, trying again with other settings\n[ 5/12] mol_5  " +
		"OK\nstopping: no new target starts, 1 under way\ninterrupted, ending programs\n"

	if got := watched(t, path); got != want {
		t.Errorf("stopped:\n%s\nwant\n%s", got, want)
	}
	put(t, path, over)
	if got := watched(t, path); got != want {
		t.Errorf("ended:\n%s\nwant\n%s", got, want)
	}
}

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

// Watch follows a batch and returns when it ends, without being told to stop.
func TestWatchToTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	put(t, path, batchStart(2), row(1, "mol_1", "OK", ""))
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	done := make(chan struct{})
	go func() {
		NewScreen(out).Watch(context.Background(), path)
		close(done)
	}()
	text := func() string {
		b, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for text() == "" {
		time.Sleep(5 * time.Millisecond)
	}
	put(t, path, row(2, "mol_2", "Skip", "no"), over)
	<-done
	if got, want := text(), "[1/2] mol_1  OK\n[2/2] mol_2  Skip  no\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
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
	step(5, "\r\x1b[2K"+up+up+up+"[3/2] mo\x1b[31m\x1b[0m…\n"+frame+"3/2 150%"+end,
		row(2, "mol_3", "Rerun", "a long story of a failure"))
	d.over = true
	step(6, "\r\x1b[2K"+up+frame+"\x1b[?7h")
}

// TestWidths shows a molecule under way, a finished one and the batch on narrow terminals. The time
// and its estimate are whole. A part without room is left out whole.
func TestWidths(t *testing.T) {
	d := &display{estimate: past(map[string]float64{"pm7": 400})}
	d.add(batchStart(10_000))
	finished := timed(row(3600, "mol_00014", "OK", ""), 4)
	finished.Shown = []string{" -57.86 kcal/mol", "ref  -56.42", "Δ  1.44", "2 conformers"}
	for range 1200 {
		d.add(finished)
	}
	d.add(row(3600, "mol_00042", "Rerun",
		"mol_00042/pm7/1: the geometry may not be optimised: gradient 1.29 "+
			"(artefacts/mol_00042/pm7.failed/1/pm7.out)"))
	d.add(instance(start(3500, "mol_00046", "pm7"), 2, 3))
	for _, tt := range []struct {
		width                                int
		running, batch, finished, failedText string
	}{
		{120,
			"⠋ mol_00046  [████████████████████░░░░░░░░░░]  MOPAC PM7 calculation 2/3  1m40s of " +
				"about 20m",
			"1201/10000 [███░░░░░░░░░░░░░░░░░░░░░░░░░░░] 12%  1 failed  about 7h19m left, ends " +
				"20:19  1201/h",
			"[ 1200/10000] mol_00014   -57.86 kcal/mol  ref  -56.42  Δ  1.44  2 conformers  4.0s",
			"[ 1201/10000] mol_00042  Rerun  pm7/1: the geometry may not be optimised: gradient " +
				"1.29"},
		{80, "⠋ mol_00046  [████████░░░░]  MOPAC PM7 calculation 2/3  1m40s of about 20m",
			"1201/10000 [█░░░░░░░░░░░] 12%  1 failed  about 7h19m left, ends 20:19  1201/h",
			"[ 1200/10000] mol_00014   -57.86 kcal/mol  ref  -56.42  Δ  1.44  2 conformers",
			"[ 1201/10000] mol_00042  Rerun  pm7/1: the geometry may not be optimised: grad…"},
		{60, "⠋ mol_00046  MOPAC PM7 calculation 2/3  1m40s of about 20m",
			"1201/10000 12%  1 failed  about 7h19m left, ends 20:19",
			"[ 1200/10000] mol_00014   -57.86 kcal/mol  ref  -56.42",
			"[ 1201/10000] mol_00042  Rerun  pm7/1: the geometry may no…"},
		{40, "⠋ mol_00046  MOPAC…  1m40s of about 20m", "1201/10000 12%  1 failed",
			"[ 1200/10000] mol_00014", "[ 1201/10000] mol_00042  Rerun  pm7/1:…"},
	} {
		frame := d.frame(tt.width, 24, at(3600))
		for what, texts := range map[string][2]string{
			"running":  {cut(frame[0], tt.width), tt.running},
			"batch":    {frame[len(frame)-1], tt.batch},
			"finished": {fit(d.lines[1199], tt.width), tt.finished},
			"failed":   {fit(d.lines[1200], tt.width), tt.failedText},
		} {
			if texts[0] != texts[1] {
				t.Errorf("%d columns, %s:\ngot  %s\nwant %s", tt.width, what, texts[0], texts[1])
			}
		}
	}
}

func TestReason(t *testing.T) {
	for text, want := range map[string]string{
		"m1/pm7/2: no SCF (artefacts/m1/pm7.failed/2/pm7.out)": "pm7/2: no SCF",
		"m1/a: it (b) failed (sh ended with exit code 3; artefacts/m1/a.failed/stderr); not " +
			"tried again, because it can only fail the same " +
			"way": "a: it (b) failed; not tried again, because " +
			"it can only fail the same way",
		"m1/pm7: odd (C, H)":    "pm7: odd (C, H)",
		"the folder is no file": "the folder is no file",
		"":                      "",
	} {
		if got := cause(row(0, "m1", "Rerun", text)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestClock(t *testing.T) {
	for hours, want := range map[float64]string{0.5: "12:30", 11.9: "23:54", 12: "Thu 00:00",
		100: "Sun 16:00",
		143: "Tue 11:00", 145: "10 Mar 13:00", 24 * 365: "4 Mar 12:00"} {
		if got := clock(at(3600*hours), noon); got != want {
			t.Errorf("in %v hours: %s, want %s", hours, got, want)
		}
	}
}

// What is written while a batch is shown stands above the frame, whole, and stays.
func TestScreenWrite(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	put(t, path, batchStart(2), row(1, "mol_1", "OK", ""))
	s := NewScreen(out)
	say := func(text string) {
		if _, err := s.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	text := func() string {
		b, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	say("before\n")
	done := make(chan struct{})
	go func() {
		s.Watch(context.Background(), path)
		close(done)
	}()
	for !strings.Contains(text(), "mol_1") {
		time.Sleep(5 * time.Millisecond)
	}
	say("Warning: of two\nlines\n")
	for !strings.Contains(text(), "lines") {
		time.Sleep(5 * time.Millisecond)
	}
	put(t, path, over)
	<-done
	say("after\n")
	if got,
		want := text(), "before\n[1/2] mol_1  OK\nWarning: of two\nlines\nafter\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var b strings.Builder
	d := &display{out: &b, size: func() (int, int, error) { return 20, 24, nil }}
	d.draw([]string{"Warning: longer than the terminal is wide"}, noon)
	if want := "\r\x1b[2KWarning: longer than the terminal is wide\n\x1b[?7l\x1b[?7h"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

// A line that is too long for the terminal is broken at a blank, but not in a command.
func TestWrap(t *testing.T) {
	for name, test := range map[string]struct {
		width      int
		text, want string
	}{
		"short":          {12, "one two\n\n  three\n", "one two\n\n  three\n"},
		"exactly":        {8, "one two\n", "one two\n"},
		"long":           {8, "one two three\n", "one two\n    three\n"},
		"the last cell":  {7, "one two\n", "one\n    two\n"},
		"without an end": {8, "one two three", "one two\n    three"},
		"several lines": {10, "one two three four five\n",
			"one two\n    three\n    four\n    five\n"},
		"indented":   {12, "  one two three\n", "  one two\n      three\n"},
		"two blanks": {9, "one  two  three\n", "one  two\n    three\n"},
		"a long word": {9, "one /a/path/of/a/file two\n",
			"one\n    /a/path/of/a/file\n    two\n"},
		"one long word": {9, "/a/path/of/a/file\n", "/a/path/of/a/file\n"},
		"cells":         {8, "één twee\n", "één\n    twee\n"},
		"a command": {24, "Write it: mage batch -table=mine.csv -yes, then\n",
			"Write it:\n    mage batch -table=mine.csv -yes,\n    then\n"},
		"a molecule": {20, "Next: mage why azirine shows why\n",
			"Next:\n    mage why azirine\n    shows why\n"},
		"a command alone": {20, "One of mage report\n", "One of mage report\n"},
		"a quoted flag": {20, "Say mage batch '-set=a=\"b c\"' then\n",
			"Say\n    mage batch '-set=a=\"b c\"'\n    then\n"},
	} {
		if got := wrap(test.text, test.width); got != test.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, test.want)
		}
	}
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
