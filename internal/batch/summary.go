package batch

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/journal"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// Summary is what a batch did.
type Summary struct {
	Batch       string // the batch's id, "" when it had nothing to do and wrote nothing
	Total       int    // rows
	Scheduled   int
	Finished    int // molecules in which something ran
	Fresh       int
	Skipped     int                // after too many failures
	ByHand      int                // rows in which a person wrote Skip
	Invalid     int                // rows that are left out
	Findings    []csvmerge.Finding // of these rows
	Rewritten   int                // rows whose results alone were written again
	Blanked     map[string]bool    // columns that the pipeline no longer merges
	Counts      map[string]int     // molecules of this batch by the status that they have now
	Targets     map[string]int     // "stage outcome" to how many
	Seconds     map[string]float64 // wall time by stage
	Failures    []string           // messages
	Alarms      []string           // what a person should look at
	Elapsed     time.Duration
	Interrupted bool
	Stopped     string // why no more molecules were started, "" if all were
	warned      groups
	last        []bool // of the last molecules of the batch: failed
	alarmed     bool
}

func newSummary(rows int) *Summary {
	return &Summary{Total: rows, Counts: map[string]int{}, Targets: map[string]int{},
		Seconds: map[string]float64{}, Blanked: map[string]bool{}, warned: groups{}}
}

// add counts an outcome. A failure that is tried again is counted with its last attempt.
func (s *Summary) add(o Outcome) {
	for _, d := range o.Targets {
		s.Targets[d.Stage+" "+d.Outcome]++
		s.Seconds[d.Stage] += d.Seconds
	}
	if o.Failure != nil && o.Failure.Again || o.Ended != "" {
		return
	}
	s.Counts[o.Status.String()]++
	switch {
	case o.Failure != nil && o.Failure.Skipped:
		s.Skipped++
	case o.Failure == nil && !o.Ran:
		s.Fresh++
	}
	if o.Ran {
		s.Finished++
		s.warn(o.Row.ID, o.Warnings)
		if s.last = append(s.last, o.Failure != nil); len(s.last) > alarmWindow {
			s.last = s.last[1:]
		}
	}
	if f := o.Failure; f != nil && !f.Skipped {
		s.Failures = append(s.Failures, f.Message)
	}
}

// leaveOut notes rows that can't be used.
func (s *Summary) leaveOut(found []csvmerge.Finding) {
	s.Findings = append(s.Findings, found...)
	lines := map[int]bool{}
	for _, f := range s.Findings {
		lines[f.Line] = true
	}
	s.Invalid = len(lines)
}

// Print writes the summary for a person, with the alarms last.
func (s *Summary) Print(w io.Writer, stages []*pipeline.Stage) {
	s.print(w, stages)
	for _, text := range s.Alarms {
		fmt.Fprintf(w, "\nALARM: %s.\n", text)
	}
}

func (s *Summary) print(w io.Writer, stages []*pipeline.Stage) {
	if len(s.Blanked) > 0 {
		fmt.Fprintf(w, "Blanked, because pipeline.hcl no longer merges them: %s\n",
			strings.Join(slices.Sorted(maps.Keys(s.Blanked)), ", "))
	}
	if len(s.Targets) == 0 && len(s.Failures) == 0 && !s.Interrupted && s.Stopped == "" {
		text := Count(s.Total, "molecule")
		if s.Skipped > 0 {
			text += fmt.Sprintf(", %d of them skipped after too many failures", s.Skipped)
		}
		fmt.Fprintf(w, "Everything is up to date: %s%s.\n", text, s.besides())
		return
	}
	fmt.Fprintf(w, "%s in %s: %s\n", Count(s.Scheduled, "molecule"), round(s.Elapsed), s.outcomes())
	for _, st := range stages {
		if text := counts(s.Targets, st.Name+" ", store.OK, Read, journal.Restored, store.Failed,
			store.TimedOut, store.Interrupted); text != "" {
			fmt.Fprintf(w, "  %-10s %s\n", st.Name, text)
		}
	}
	if stage, percent := s.slowest(); stage != "" {
		fmt.Fprintf(w, "  slowest stage: %s, %.0f %% of the time\n", stage, percent)
	}
	for _, g := range Groups(s.Failures) { // a cause of ten thousand failures is said once
		if g.Count > 1 {
			fmt.Fprintf(w, "  failed: %s\n", g)
		}
		for _, message := range g.First {
			fmt.Fprintf(w, "  %s\n", message)
		}
		if more := g.Count - len(g.First); more > 0 {
			fmt.Fprintf(w, "  ... and %d more like these\n", more)
		}
	}
	for _, line := range s.warningLines() {
		fmt.Fprintf(w, "  warning: %s\n", line)
	}
	if s.Stopped != "" {
		fmt.Fprintf(w, "Stopped %s; the next batch goes on from here.\n", s.Stopped)
	}
	if s.Interrupted {
		fmt.Fprintln(w, "Interrupted; the next batch goes on from here.")
	}
}

// besides tells of the rows that were not computed, and of those that were only written again.
func (s *Summary) besides() (text string) {
	if s.ByHand > 0 {
		text += fmt.Sprintf(", %d left out by a Skip of yours", s.ByHand)
	}
	if s.Invalid > 0 {
		text += ", " + Count(s.Invalid, "row") + " left out"
	}
	if s.Rewritten > 0 {
		text += ", " + Count(s.Rewritten, "row") + " written again"
	}
	return text
}

// counts lists these names with their numbers, which are found with a prefix: "12 ok, 1 failed".
func counts(numbers map[string]int, prefix string, names ...string) string {
	var parts []string
	for _, name := range names {
		if n := numbers[prefix+name]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, name))
		}
	}
	return strings.Join(parts, ", ")
}

func (s *Summary) outcomes() string {
	text := cmp.Or(counts(s.Counts, "", "OK", "Rerun", "Skip"), "none finished") + s.besides()
	if n := s.Total - s.Scheduled; n > 0 {
		text += fmt.Sprintf(", %d others up to date or not asked for", n)
	}
	return text
}

// slowest is the stage that took most of the batch's time, and the percentage that it took; "" for
// none.
func (s *Summary) slowest() (stage string, percent float64) {
	total := 0.0
	for _, name := range slices.Sorted(maps.Keys(s.Seconds)) {
		if total += s.Seconds[name]; s.Seconds[name] > s.Seconds[stage] {
			stage = name
		}
	}
	return stage, 100 * s.Seconds[stage] / total
}

// Line is the summary on one line, as "total=57 scheduled=57 completed=55 failed=2 …", for a log.
func (s *Summary) Line() string {
	text := fmt.Sprintf("total=%d scheduled=%d finished=%d completed=%d failed=%d "+
		"skipped=%d invalid=%d elapsed=%.1fs", s.Total, s.Scheduled, s.Finished,
		s.Counts["OK"], len(s.Failures), s.Skipped, s.Invalid, s.Elapsed.Seconds())
	if stage, percent := s.slowest(); stage != "" {
		text += fmt.Sprintf(" slowest=%s(%.0f%%)", stage, percent)
	}
	if s.Interrupted {
		text += " interrupted"
	}
	var failures []string
	for _, g := range Groups(s.Failures) {
		failures = append(failures, g.String())
	}
	for n, texts := range [][]string{failures, s.warningLines(), s.Alarms} {
		if len(texts) > 0 {
			name := [...]string{"failures", "warnings", "alarm"}[n]
			text += fmt.Sprintf(" %s=%q", name, strings.Join(texts, "; "))
		}
	}
	return text
}

const (
	alarmWindow = 100 // molecules: max_failures is a share of the last so many of a batch
	alarmLeast  = 20  // molecules: a smaller batch counts as one of so many at its end
)

// ErrAlarm says that the batch ended itself, because when_exceeded is "stop".
var ErrAlarm = errors.New(`the batch stopped itself, because when_exceeded is "stop" in ` +
	`pipeline.hcl; find the cause, then run again`)

// tooMany raises an alarm once, when more of the last hundred molecules failed than a hundred may.
func (s *Summary) tooMany(share float64) (text string, raised bool) {
	failed := 0
	for _, f := range s.last {
		if f {
			failed++
		}
	}
	if s.alarmed || share == 0 || float64(failed) <= share*alarmWindow {
		return "", false
	}
	s.alarmed = true
	text = fmt.Sprintf("%d of the last %s failed; max_failures is %g%% of a hundred",
		failed, Count(len(s.last), "molecule"), 100*share)
	s.Alarms = append(s.Alarms, text)
	return text, true
}

// tooManyInAll looks at the whole of a batch that may have been too small for tooMany.
func (s *Summary) tooManyInAll(share float64) {
	failed := len(s.Failures)
	if !s.alarmed && share > 0 && float64(failed) > share*float64(max(s.Finished, alarmLeast)) {
		s.Alarms = append(s.Alarms, fmt.Sprintf("%d of %s failed; max_failures is %g%%",
			failed, Count(s.Finished, "molecule"), 100*share))
	}
}

// tooManyInvalid looks at the rows that are left out, before anything runs.
func (s *Summary) tooManyInvalid(a pipeline.Alarms) error {
	if a.Invalid == 0 || float64(s.Invalid) <= a.Invalid*float64(s.Total) {
		return nil
	}
	text := fmt.Sprintf("%d of %s can't be used; max_invalid is %g%%",
		s.Invalid, Count(s.Total, "row"), 100*a.Invalid)
	s.Alarms = append(s.Alarms, text)
	if a.Stop {
		return fmt.Errorf("%s: %w", text, ErrAlarm)
	}
	return nil
}

// Count is a number of things for a person, as "1 molecule" or "29,568 molecules".
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return thousands(n) + " " + what + "s"
}

// thousands writes a number as 29,568.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

func round(d time.Duration) time.Duration {
	switch {
	case d < 10*time.Second:
		return d.Round(10 * time.Millisecond)
	case d < 10*time.Minute:
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}
