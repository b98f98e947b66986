package batch

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"grimperium/csvmerge"
	"grimperium/internal/journal"
)

const (
	alarmWindow = 100 // molecules: max_failures is a share of the last so many of a batch
	alarmLeast  = 20  // molecules: a smaller batch is taken as one of so many at its end, so that one failure in three is no alarm
)

// ErrAlarm says that the batch ended itself, because when_exceeded is "stop".
var ErrAlarm = errors.New(`the batch stopped itself, because when_exceeded is "stop" in pipeline.hcl; find the cause, then run again`)

// finished counts a molecule of this batch for the alarm about failures.
func (b *Batch) finished(failed bool) {
	b.sum.Finished++
	if b.window = append(b.window, failed); len(b.window) > alarmWindow {
		b.window = b.window[1:]
	}
}

// alarm raises the alarm once, when more of the last hundred molecules failed than a hundred may.
func (b *Batch) alarm() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	failed := 0
	for _, f := range b.window {
		if f {
			failed++
		}
	}
	share := b.Pipeline.Alarms.Failures
	if b.alarmed || share == 0 || float64(failed) <= share*alarmWindow {
		return nil
	}
	b.alarmed = true
	return b.raise(fmt.Sprintf("%d of the last %s failed; max_failures is %g%% of a hundred", failed, count(len(b.window), "molecule"), 100*share))
}

// raise tells of an alarm, in the journal for those who watch and in the summary.
func (b *Batch) raise(text string) error {
	b.sum.Alarms = append(b.sum.Alarms, text)
	if err := b.log(journal.Event{Event: journal.Note, Error: text}); err != nil {
		return err
	}
	if b.Pipeline.Alarms.Stop {
		return ErrAlarm
	}
	return nil
}

// alarmAtEnd looks at the whole of a batch that may have been too small for alarm.
func (b *Batch) alarmAtEnd() {
	share, failed := b.Pipeline.Alarms.Failures, len(b.sum.Failures)
	if !b.alarmed && share > 0 && float64(failed) > share*float64(max(b.sum.Finished, alarmLeast)) {
		b.sum.Alarms = append(b.sum.Alarms, fmt.Sprintf("%d of %s failed; max_failures is %g%%", failed, count(b.sum.Finished, "molecule"), 100*share))
	}
}

// alarmInvalid looks at the rows that are left out, before anything runs.
func (b *Batch) alarmInvalid() error {
	share := b.Pipeline.Alarms.Invalid
	if share == 0 || float64(b.sum.Invalid) <= share*float64(b.sum.Total) {
		return nil
	}
	text := fmt.Sprintf("%d of %s can't be used; max_invalid is %g%%", b.sum.Invalid, count(b.sum.Total, "row"), 100*share)
	b.sum.Alarms = append(b.sum.Alarms, text)
	if b.Pipeline.Alarms.Stop {
		return fmt.Errorf("%s: %w", text, ErrAlarm)
	}
	return nil
}

// invalid notes rows that can't be used.
func (s *Summary) invalid(found []csvmerge.Finding) {
	s.Findings = append(s.Findings, found...)
	lines := map[int]bool{}
	for _, f := range s.Findings {
		lines[f.Line] = true
	}
	s.Invalid = len(lines)
}

// Group is a reason for which molecules failed.
type Group struct {
	Stage, Reason string
	Count         int
	First         []string // messages, at most three
}

// String is the group as "3 pm7: the SCF did not converge".
func (g Group) String() string { return fmt.Sprintf("%d %s: %s", g.Count, g.Stage, g.Reason) }

// Groups sorts error messages by stage and reason, the most frequent first.
func Groups(messages []string) []Group {
	var out []Group
	for _, m := range messages {
		stage, reason := Reason(m)
		n := slices.IndexFunc(out, func(g Group) bool { return g.Stage == stage && g.Reason == reason })
		if n < 0 {
			n = len(out)
			out = append(out, Group{Stage: stage, Reason: reason})
		}
		if out[n].Count++; len(out[n].First) < 3 {
			out[n].First = append(out[n].First, m)
		}
	}
	slices.SortStableFunc(out, func(a, b Group) int { return b.Count - a.Count })
	return out
}

var (
	messageStart = regexp.MustCompile(`^[^/:]*/([A-Za-z_][A-Za-z0-9_-]*)(?:/\d+)?: `)
	messageWords = regexp.MustCompile(`(^|[ (=])(?:'[^']*'|"[^"]*")`)
)

// Reason takes an error message apart: the stage that failed, and why, without what differs from one molecule to the next (where to look,
// what is quoted, which atoms). The stage is "?" for a text that is none of ours.
func Reason(message string) (stage, reason string) {
	stage = "?"
	if m := messageStart.FindStringSubmatch(message); m != nil {
		stage, message = m[1], message[len(m[0]):]
	}
	message = messageWords.ReplaceAllString(message, "$1…")
	for _, end := range []string{": ", "; ", " ("} {
		message, _, _ = strings.Cut(message, end)
	}
	return stage, message
}

// slowest is the stage that took most of the batch's time, and the share that it took.
func (s *Summary) slowest() (stage string, share float64) {
	total := 0.0
	for _, name := range sortedNames(s.Seconds) {
		total += s.Seconds[name]
		if stage == "" || s.Seconds[name] > s.Seconds[stage] {
			stage = name
		}
	}
	if total == 0 {
		return "", 0
	}
	return stage, s.Seconds[stage] / total
}

// Line is the summary on one line, as "total=57 scheduled=57 completed=55 failed=2 …", for a log.
func (s *Summary) Line() string {
	text := fmt.Sprintf("total=%d scheduled=%d finished=%d completed=%d failed=%d skipped=%d invalid=%d elapsed=%.1fs", s.Total, s.Scheduled, s.Finished,
		s.Counts[csvmerge.OK.String()], len(s.Failures), s.Skipped, s.Invalid, s.Elapsed.Seconds())
	if stage, share := s.slowest(); stage != "" {
		text += fmt.Sprintf(" slowest=%s(%.0f%%)", stage, 100*share)
	}
	if s.Interrupted {
		text += " interrupted"
	}
	var groups []string
	for _, g := range s.Groups() {
		groups = append(groups, g.String())
	}
	if len(groups) > 0 {
		text += fmt.Sprintf(" failures=%q", strings.Join(groups, "; "))
	}
	if lines := s.warningLines(); len(lines) > 0 {
		text += fmt.Sprintf(" warnings=%q", strings.Join(lines, "; "))
	}
	if len(s.Alarms) > 0 {
		text += fmt.Sprintf(" alarm=%q", strings.Join(s.Alarms, "; "))
	}
	return text
}

// Groups are this batch's failures by stage and reason.
func (s *Summary) Groups() []Group {
	var messages []string
	for _, f := range s.Failures {
		messages = append(messages, f.Message)
	}
	return Groups(messages)
}
