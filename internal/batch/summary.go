package batch

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

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
	Finished    int                // molecules in which something ran
	Skipped     int                // after too many failures
	ByHand      int                // rows in which a person wrote Skip
	Unasked     int                // rows that Config.Only leaves out
	Later       int                // rows beyond Config.Limit
	Unwritten   int                // rows whose results the table could not take
	Invalid     int                // rows that are left out
	Findings    []csvmerge.Finding // of these rows
	Elsewhere   int                // molecules that other batches compute
	Rewritten   int                // rows whose results alone were written again
	Blanked     map[string]bool    // columns that the pipeline no longer merges
	Counts      map[string]int     // molecules of this batch by the status that they have now
	Targets     map[string]int     // "stage outcome" to how many
	Seconds     map[string]float64 // wall time by stage
	Failures    []string           // messages, in the order of the table
	Alarms      []string           // what a person should look at
	Elapsed     time.Duration
	Interrupted bool
	Stopped     string              // why, "" if all molecules were started
	outcomes    map[string]fate     // by mol_id
	warned      map[string][]string // mol_ids by the text of a warning
	last        []bool              // of the last molecules of the batch: failed
	alarmed     bool
}

// fate is what a batch keeps of a molecule's last outcome.
type fate struct {
	key      [16]byte        // of the row
	before   csvmerge.Status // of the row when the molecule was taken up first
	status   csvmerge.Status
	failure  *TargetError
	ran      bool
	warnings []string
}

const (
	shownWarnings = 20  // different texts that a summary prints
	alarmWindow   = 100 // molecules: max_failures is a share of the last so many
)

func newSummary(rows int) *Summary {
	return &Summary{Total: rows, Counts: map[string]int{}, Targets: map[string]int{},
		Seconds: map[string]float64{}, Blanked: map[string]bool{}, outcomes: map[string]fate{},
		warned: map[string][]string{}}
}

// add takes in an outcome. The last one of a molecule counts.
func (s *Summary) add(o Outcome) {
	for _, d := range o.Targets {
		s.Targets[d.Stage+" "+d.Outcome]++
		s.Seconds[d.Stage] += d.Seconds
	}
	if o.Ended != "" {
		return
	}
	before := o.Row.Status
	if first, again := s.outcomes[o.Row.ID]; again {
		before = first.before
	}
	s.outcomes[o.Row.ID] = fate{o.Row.Key, before, o.Status, o.Failure, o.Ran, o.Warnings}
	if o.Ran && !o.Failure.again() {
		s.last = append(s.last, o.Failure != nil)
		s.last = s.last[max(0, len(s.last)-alarmWindow):]
	}
}

// leaveOut takes in that a person wrote Skip into a row while the batch ran.
func (s *Summary) leaveOut() {
	s.ByHand++
	s.Scheduled--
}

// finish counts the outcomes in the order of the table, in whatever order the molecules finished.
func (s *Summary) finish(t *csvmerge.Table) {
	var ids []string
	for i := range t.Len() {
		ids = append(ids, t.ID(i))
	}
	for _, id := range append(ids, slices.Sorted(maps.Keys(s.outcomes))...) { // rows may be gone
		o, ok := s.outcomes[id]
		if !ok {
			continue
		}
		delete(s.outcomes, id)
		if i, ok := t.Lookup(id); ok && o.status != csvmerge.Skip && t.Status(i) == csvmerge.Skip {
			s.leaveOut()
			continue
		}
		s.Counts[o.status.String()]++
		if o.failure != nil && o.failure.Prospect == NotTried {
			s.Skipped++
		} else if o.failure != nil {
			s.Failures = append(s.Failures, o.failure.Message)
		}
		if !o.ran {
			continue
		}
		s.Finished++
		slices.Sort(o.warnings)
		for _, text := range slices.Compact(o.warnings) {
			s.warned[text] = append(s.warned[text], id)
		}
	}
}

// Print writes the summary for a person, with the alarms last.
func (s *Summary) Print(w io.Writer, stages []*pipeline.Stage) {
	if len(s.Blanked) > 0 {
		fmt.Fprintf(w, "Blanked, because pipeline.hcl no longer merges them: %s\n",
			strings.Join(slices.Sorted(maps.Keys(s.Blanked)), ", "))
	}
	if s.Finished > 0 || len(s.Targets) > 0 || len(s.Failures) > 0 || s.Stopped != "" {
		s.print(w, stages)
	} else {
		l, what := list{Count(s.Total-s.Unasked, "molecule")}, "Everything is up to date"
		l.add(s.Skipped, "skipped after too many failures")
		if s.Rewritten > 0 {
			what = "Every result is up to date; no program ran"
		}
		if s.Total == 0 {
			what = "Nothing to compute"
		}
		fmt.Fprintf(w, "%s: %s.\n", what, l.end(s))
	}
	for _, text := range s.Alarms {
		fmt.Fprintf(w, "\nALARM: %s.\n", text)
	}
}

// list is numbers of things, without those of which there are none: "12 ok, 1 failed".
type list []string

func (l *list) add(n int, what string) {
	if n > 0 {
		*l = append(*l, humanize.Comma(int64(n))+" "+what)
	}
}

// end adds the rows that were left out, and those that were only written again.
func (l *list) end(s *Summary) string {
	l.add(s.ByHand, "left out by your Skip")
	l.add(s.Invalid, "left out as unusable")
	l.add(s.Unasked, "not asked for")
	l.add(s.Later, "beyond the limit")
	l.add(s.Elsewhere, "left to other batches")
	l.add(s.Rewritten, "written into the table again")
	return strings.Join(*l, ", ")
}

// rounded is a time with the digits that a person reads.
func rounded(d time.Duration) time.Duration {
	if d < time.Minute {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(time.Second)
}

// nameWidth is the width of a column of stages.
func nameWidth(stages []*pipeline.Stage) int {
	width := 10
	for _, s := range stages {
		width = max(width, len(s.Name))
	}
	return width
}

// print writes what was computed, and what came of it.
func (s *Summary) print(w io.Writer, stages []*pipeline.Stage) {
	var all list
	for _, status := range []string{"OK", "Rerun", "Skip"} {
		all.add(s.Counts[status], status)
	}
	if len(all) == 0 {
		all = list{"none finished"}
	}
	all.add(s.Total-s.Scheduled-s.ByHand-s.Invalid-s.Unasked-s.Later, "unchanged")
	fmt.Fprintf(w, "%s in %s: %s\n", Count(s.Scheduled, "molecule"), rounded(s.Elapsed),
		all.end(s))
	width := nameWidth(stages)
	for _, st := range stages {
		var l list
		for _, outcome := range []string{store.OK, Read, journal.Restored, store.Failed,
			store.TimedOut, store.Interrupted} {
			l.add(s.Targets[st.Name+" "+outcome], outcome)
		}
		if len(l) > 0 {
			fmt.Fprintf(w, "  %-*s %s\n", width, st.Name, strings.Join(l, ", "))
		}
	}
	if stage, percent := s.slowest(); stage != "" {
		fmt.Fprintf(w, "  slowest stage: %s, %.0f %% of the time\n", stage, percent)
	}
	for _, g := range Groups(s.Failures) { // a cause of ten thousand failures is one line
		if len(g.Members) > 1 {
			fmt.Fprintf(w, "  failed: %s\n", g)
		}
		for _, message := range g.Members[:min(3, len(g.Members))] {
			fmt.Fprintf(w, "  %s\n", message)
		}
		if more := len(g.Members) - 3; more > 0 {
			fmt.Fprintf(w, "  ... and %d more like these\n", more)
		}
	}
	for _, line := range s.warnings() {
		fmt.Fprintf(w, "  warning: %s\n", line)
	}
	if s.Unwritten > 0 {
		fmt.Fprintf(w, "The results of %s are not in the table yet; the next batch writes them.\n",
			Count(s.Unwritten, "molecule"))
	}
	if s.Stopped != "" {
		fmt.Fprintf(w, "%s; the next batch goes on from here.\n", s.Stopped)
	}
}

// warnings are the warnings that are printed.
func (s *Summary) warnings() (out []string) {
	for n, g := range mostFirst(s.warned) {
		if n == shownWarnings {
			return append(out, fmt.Sprintf("... and %d more texts", len(s.warned)-n))
		}
		out = append(out, g.molecules())
	}
	return out
}

// slowest is the stage that took most of the time, "" for none, with its share in percent.
func (s *Summary) slowest() (stage string, percent float64) {
	total := 0.0
	for name, seconds := range s.Seconds {
		total += seconds
		if seconds > s.Seconds[stage] {
			stage = name
		}
	}
	return stage, 100 * s.Seconds[stage] / total
}

// Line is the summary on one line, as "total=57 scheduled=57 completed=55 failed=2 …", for a log.
func (s *Summary) Line() string {
	text := fmt.Sprintf("total=%d scheduled=%d finished=%d completed=%d failed=%d skipped=%d "+
		"invalid=%d elapsed=%.1fs", s.Total, s.Scheduled, s.Finished, s.Counts["OK"],
		len(s.Failures), s.Skipped, s.Invalid, s.Elapsed.Seconds())
	if stage, percent := s.slowest(); stage != "" {
		text += fmt.Sprintf(" slowest=%s(%.0f%%)", stage, percent)
	}
	if s.Interrupted {
		text += " interrupted"
	}
	add := func(name string, texts []string) {
		if len(texts) > 0 {
			text += fmt.Sprintf(" %s=%q", name, strings.Join(texts, "; "))
		}
	}
	var failures []string
	for _, g := range Groups(s.Failures) {
		failures = append(failures, g.String())
	}
	add("failures", failures)
	add("warnings", s.warnings())
	add("alarm", s.Alarms)
	return text
}

// ErrAlarm says that the batch ended itself, because when_exceeded is "stop".
var ErrAlarm = errors.New(`the batch stopped itself, because when_exceeded is "stop" in ` +
	`pipeline.hcl; find the cause, then run again`)

// tooMany raises an alarm, once, if the failed molecules among the last hundred exceed a share of a
// hundred. The text is "" for no alarm.
func (s *Summary) tooMany(share float64) (text string) {
	failed := 0
	for _, f := range s.last {
		if f {
			failed++
		}
	}
	if !s.alarmed {
		text = s.alarm(failed, alarmWindow, share,
			"the last "+Count(len(s.last), "molecule")+" failed; max_failures")
		s.alarmed = text != ""
	}
	return text
}

// alarm raises an alarm if n of a total are more than its share. The text names the total and the
// setting, as "the last 100 molecules failed; max_failures". A share of 0 is no limit.
func (s *Summary) alarm(n, of int, share float64, text string) string {
	if share == 0 || float64(n) <= share*float64(of) {
		return ""
	}
	text = fmt.Sprintf("%d of %s is %g%%", n, text, 100*share)
	s.Alarms = append(s.Alarms, text)
	return text
}

// Group is what molecules have in common: why they failed, a warning, or what they have to do.
type Group struct {
	Text    string
	Members []string // messages, or mol_ids
}

// String is the group as "3 pm7: the SCF did not converge".
func (g Group) String() string { return fmt.Sprintf("%d %s", len(g.Members), g.Text) }

// molecules is the group as "12 molecules: a warning (m1, m2, m3, ...)".
func (g Group) molecules() string {
	return fmt.Sprintf("%s: %s (%s)", Count(len(g.Members), "molecule"), g.Text, some(g.Members))
}

// Groups sorts error messages by stage and reason, the most frequent first.
func Groups(messages []string) []Group {
	members := map[string][]string{}
	for _, m := range messages {
		stage, reason := Reason(m)
		members[stage+": "+reason] = append(members[stage+": "+reason], m)
	}
	return mostFirst(members)
}

// mostFirst are groups by their texts: those with the most members first, then by text.
func mostFirst(members map[string][]string) (out []Group) {
	for text, all := range members {
		out = append(out, Group{text, all})
	}
	slices.SortFunc(out, func(a, b Group) int {
		return cmp.Or(len(b.Members)-len(a.Members), cmp.Compare(a.Text, b.Text))
	})
	return out
}

var (
	place  = regexp.MustCompile(`^(?:[^/:]*/([A-Za-z_][\w-]*)(?:/\d+)?: )?(?:[^ :]+\.hcl:\d+: )?`)
	quoted = regexp.MustCompile(`(^|[ (=])(?:'[^']*'|"[^"]*")`)
	detail = regexp.MustCompile(`(?s)(?:: |; | \().*`)
)

// Reason splits the message of a failure, a cell of the table, into the stage that failed and the
// reason. The reason leaves out the line of pipeline.hcl, and what differs between molecules: where
// to look, what is quoted, which atoms. The stage is "?" for a text of another origin.
func Reason(text string) (stage, reason string) {
	m := place.FindStringSubmatch(text)
	reason = quoted.ReplaceAllString(text[len(m[0]):], "$1…")
	return cmp.Or(m[1], "?"), detail.ReplaceAllString(reason, "")
}

// some lists the first three names.
func some(names []string) string {
	if len(names) > 3 {
		return strings.Join(names[:3], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}

// Count is a number of things for a person, as "1 molecule" or "29,568 molecules".
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return humanize.Comma(int64(n)) + " " + what + "s"
}

// oneLine makes a text fit for a cell and a terminal: one line of printable characters, of 500 at
// most, whatever a program wrote.
func oneLine(text string) string {
	words := strings.FieldsFunc(text, func(r rune) bool {
		return !unicode.IsPrint(r) || r == ' ' || r == utf8.RuneError
	})
	return clip(strings.Join(words, " "), 500)
}

// clip shortens a text to so many characters.
func clip(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "..."
	}
	return text
}
