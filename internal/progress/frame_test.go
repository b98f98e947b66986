package progress

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/cheggaaa/pb/v3"

	"grimperium/internal/journal"
)

func TestFrame(t *testing.T) {
	noneDone := "0/4 [" + strings.Repeat("░", 30) + "] 0%"
	tests := []struct {
		name   string
		events []journal.Event
		now    float64
		want   []string
	}{
		{"no batch", nil, 0, nil},
		{"nothing under way", []journal.Event{batchStart(4)}, 1,
			[]string{noneDone}},
		{"a stage that was never timed", []journal.Event{batchStart(4),
			start(0, "mol_1", "preopt")}, 3,
			[]string{"⠋ mol_1  [██████░░░░░░░░░░░░░░░░░░░░░░░░]  Pre-optimization  3.0s",
				noneDone}},
		{"by the time", []journal.Event{batchStart(4), start(0, "mol_00042", "search")}, 14.1,
			[]string{"⠙ mol_00042  [██████████████░░░░░░░░░░░░░░░░]  Conformer search  14s of about 40s",
				noneDone}},
		{"longer than expected", []journal.Event{batchStart(4), start(0, "mol_1", "search")}, 100,
			[]string{"⠋ mol_1  [█████████████████░░░░░░░░░░░░░]  Conformer search  1m40s of about 40s",
				noneDone}},
		{"between two stages", []journal.Event{batchStart(4), start(0, "mol_1", "search"),
			end(9.9, "mol_1", "search")}, 10,
			[]string{"⠋ mol_1  [██████████████████░░░░░░░░░░░░]  Conformer search  10s of about 40s",
				noneDone}},
		{"waiting for the table", []journal.Event{batchStart(4), start(0, "m", "search"),
			end(9, "m", "search"), start(9, "n", "final"), end(9.99, "n", "final"),
			start(9.9, "o", "rdkit")}, 10,
			[]string{"⠋ o  [░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░]  RDKit parameters  0.1s",
				noneDone}},
		{"no more than there are jobs", []journal.Event{batchStart(4), start(0, "m", "rdkit"),
			end(9.8, "m", "rdkit"), start(0, "n", "rdkit"), end(9.9, "n", "rdkit"),
			start(0, "o", "rdkit"), end(9.85, "o", "rdkit")}, 10,
			[]string{"⠋ n  [██████░░░░░░░░░░░░░░░░░░░░░░░░]  RDKit parameters  10s",
				noneDone}},
		{"for each conformer", []journal.Event{batchStart(4), instance(start(0, "m", "pm7"), 1, 3),
			instance(end(2, "m", "pm7"), 1, 3), instance(start(2, "m", "pm7"), 2, 3)}, 3,
			[]string{"⠋ m  [█████████████████████░░░░░░░░░]  MOPAC PM7 calculation 2/3  3.0s of about 6.0s",
				noneDone}},
		{"the last stage, without a title", []journal.Event{batchStart(4),
			start(0, "m", "final")}, 1,
			[]string{"⠋ m  [████████████████████████░░░░░░]  final  1.0s",
				noneDone}},
		{"a stage that has no part of the bar", []journal.Event{batchStart(4),
			start(0, "m", "rdkit"), start(1, "m", "check"), start(1, "n", "check")}, 1,
			[]string{"⠋ m  [░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░]  RDKit parameters  1.0s",
				noneDone}},
		{"two, and some done", []journal.Event{batchStart(8), start(0, "a", "rdkit"),
			start(0, "mol_2", "rdkit"), start(0, "c", "rdkit"), row(5, "c", "OK", ""),
			start(6, "a", "preopt"), row(7, "x", "Rerun", "why")}, 10,
			[]string{"⠋ a      [██████░░░░░░░░░░░░░░░░░░░░░░░░]  Pre-optimization  4.0s",
				"⠋ mol_2  [░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░]  RDKit parameters  10s",
				"2/8 [" + strings.Repeat("█", 7) + strings.Repeat("░", 23) +
					"] 25%  1 failed  about 17s left  720/h"}},
		{"interrupted", []journal.Event{batchStart(4), start(0, "m", "rdkit"),
			{Event: journal.TargetEnd, Mol: "m", Stage: "rdkit", Outcome: journal.Interrupted}}, 1,
			[]string{noneDone}},
		{"more attempts", []journal.Event{batchStart(4), start(0, "m", "rdkit"),
			end(1, "m", "rdkit"), retried(row(1, "m", "Rerun", "no")),
			retried(row(1, "n", "Rerun", "no")), start(1, "o", "rdkit")}, 1,
			[]string{"⠋ o  [░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░]  RDKit parameters  0.0s",
				"  2 failed, trying again with other settings",
				noneDone}},
		{"another attempt", []journal.Event{batchStart(4), retried(row(1, "m", "Rerun", "no")),
			retried(row(1, "n", "Rerun", "no")), start(1, "m", "rdkit"),
			row(1, "n", "Skip", "no")}, 1,
			[]string{"⠋ m  [░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░]  RDKit parameters  0.0s",
				"  1 failed, trying again with other settings",
				"1/4 [" + strings.Repeat("█", 7) + strings.Repeat("░", 23) +
					"] 25%  1 failed  about 2s left  3600/h"}},
		{"stopping", []journal.Event{batchStart(4), start(0, "m", "rdkit"), row(1, "n", "OK", ""),
			start(0, "o", "rdkit"), {Event: journal.Stopping}, end(1, "o", "rdkit")}, 1,
			[]string{"⠋ m  [░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░]  RDKit parameters  1.0s",
				"  stopping: no new target starts, 1 under way",
				"1/4 [" + strings.Repeat("█", 7) + strings.Repeat("░", 23) + "] 25%  3600/h"}},
		{"ending programs", []journal.Event{batchStart(4), start(0, "m", "rdkit"),
			{Event: journal.Stopping}, {Event: journal.Interrupted}}, 1,
			[]string{"⠋ m  [░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░]  RDKit parameters  1.0s",
				"  interrupted, ending programs",
				noneDone}},
		{"ended", []journal.Event{batchStart(1), start(0, "m", "rdkit"), row(1, "m", "ok", ""),
			start(1, "n", "rdkit"), over}, 125, nil},
		{"control characters", []journal.Event{batchStart(4), start(0, "m\x1b[2J\n", "rdkit")}, 1,
			[]string{"⠋ m [2J  [░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░]  RDKit parameters  1.0s",
				noneDone}},
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

// On a terminal a long name leaves room for the status.
func TestLongName(t *testing.T) {
	e := journal.Event{Mol: strings.Repeat("m", 75), Outcome: "OK"}
	d := &display{size: func() (int, int, error) { return 80, 24, nil }}
	if got := fit(d.finished(e), 80); !strings.HasSuffix(got, "mmm…  OK") {
		t.Errorf("on a terminal: %q", got)
	}
	if got := fit((&display{}).finished(e), math.MaxInt); !strings.HasSuffix(got, e.Mol+"  OK") {
		t.Errorf("in a file: %q", got)
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
