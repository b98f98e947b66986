// Package progress shows the running batch of a journal: on a terminal a bar for each molecule
// under way and one for the batch, elsewhere one plain line for each finished molecule.
//
// It reads the journal only, so it can neither slow nor fail the batch. It returns no errors.
package progress

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cheggaaa/pb/v3"
	"golang.org/x/term"

	"grimperium/internal/journal"
)

// display shows a batch on a terminal, or as plain lines in a file or a pipe.
type display struct {
	journal.State
	estimate journal.Estimate
	out      io.Writer
	size     func() (width, height int, err error) // nil if out is no terminal
	colour   bool
	lines    []string // that stay, still to be written
	drawn    int      // lines of the last frame
	retrying bool     // a molecule was tried again
}

// Watch shows the last batch of a journal on out. It returns when the batch ends, or when ctx ends,
// after it has shown what is in the journal then.
func Watch(ctx context.Context, out *os.File, journalPath string) {
	d := &display{out: out, estimate: journal.Estimate{}}
	tail := int64(64 << 10) // bytes: has the start of a batch that has just begun
	fd := int(out.Fd())
	if kind := os.Getenv("TERM"); term.IsTerminal(fd) && kind != "" && kind != "dumb" {
		d.size = func() (int, int, error) { return term.GetSize(fd) }
		d.colour = os.Getenv("NO_COLOR") == ""
		tail = 2 << 20 // and tells how long targets take
	}
	reader := journal.OpenTail(journalPath, tail)
	for over := false; !over; {
		over = ctx.Err() != nil // looked at before the journal, which may have grown until then
		_ = reader.Each(d.add)
		if over = over || !d.Ended.IsZero(); over {
			clear(d.UnderWay)
		}
		d.draw(time.Now())
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// add takes in an event. Stages without a title have no part in the display, if others have one.
func (d *display) add(e journal.Event) {
	if e.Event == journal.BatchStart {
		d.lines, d.retrying = nil, false // the lines are of an earlier batch
	}
	d.estimate.Add(e)
	if e.Stage == "" || len(d.Stages) == 0 || d.position(e.Stage) >= 0 {
		d.State.Add(e)
	}
	retries := e.Event == journal.TargetStart && d.Retries[e.Mol] && !d.retrying
	d.retrying = d.retrying || retries
	switch {
	case e.Batch != d.Batch:
	case e.Final():
		d.lines = append(d.lines, d.text(e))
	case e.Event == journal.Cluster && e.Error != "":
		d.lines = append(d.lines, clean(e.Error))
	case d.size != nil: // the frame has the notice
	case retries, e.Event == journal.Stopping, e.Event == journal.Interrupted:
		d.lines = append(d.lines, d.notice())
	}
}

// position is the number of a stage among those that are shown, or -1.
func (d *display) position(stage string) int {
	return slices.IndexFunc(d.Stages, func(s journal.Stage) bool { return s.Name == stage })
}

// draw writes the new lines, which stay. On a terminal they and a new frame replace the last frame.
// The cursor rests below it, so that the terminal is usable whenever this process ends.
func (d *display) draw(now time.Time) {
	var b bytes.Buffer
	width, height, end := math.MaxInt, 0, "\n"
	if d.size != nil {
		var err error
		if width, height, err = d.size(); err != nil || width <= 0 {
			width, height = 80, 24
		}
		end = "\x1b[K\n"
		if d.drawn > 0 {
			fmt.Fprintf(&b, "\x1b[%dA", d.drawn)
		}
	}
	lines := d.lines
	if d.lines = nil; d.size != nil {
		frame := d.frame(width, max(height-1, 1), now)
		lines, d.drawn = append(lines, frame...), len(frame)
	}
	for _, line := range lines {
		b.WriteString(cut(line, width) + end)
	}
	if d.size != nil {
		b.WriteString("\x1b[J")
	}
	_, _ = b.WriteTo(d.out)
}

// frame is the batch now on a terminal of so many columns and rows: a line for each molecule under
// way, one for a notice, and the whole batch.
func (d *display) frame(width, rows int, now time.Time) (lines []string) {
	if d.Started.IsZero() {
		return nil
	}
	ids := slices.Sorted(maps.Keys(d.UnderWay))
	shown := ids[:min(len(ids), max(rows-3, 0))]
	names := 0
	for _, id := range shown {
		names = max(names, utf8.RuneCountInString(clean(id)))
	}
	for _, id := range shown {
		name := fmt.Sprintf("%-*s", names, clean(id))
		lines = append(lines, d.line(name, d.UnderWay[id], width, now))
	}
	if more := len(ids) - len(shown); more > 0 {
		lines = append(lines, fmt.Sprintf("  and %d more", more))
	}
	if notice := d.notice(); notice != "" && d.Ended.IsZero() {
		lines = append(lines, "  "+notice)
	}
	if t := d.Tasks; t != nil {
		lines = append(lines, fmt.Sprintf("  tasks: %d running, %d pending, %d failed; core hours: "+
			"%.1f used, about %.1f left", t.Running, t.Pending, t.Failed, t.Used, t.Left))
	}
	lines = append(lines, d.batchLine(width, now))
	return lines[max(len(lines)-rows, 0):] // what has left the screen can't be drawn over
}

// notice is what the batch does besides the usual, or "".
func (d *display) notice() string {
	switch {
	case d.Interrupted && d.Tasks != nil:
		return "interrupted, the tasks on the cluster go on"
	case d.Interrupted:
		return "interrupted, ending programs"
	case d.Stopping:
		return fmt.Sprintf("stopping: no new target starts, %d under way", len(d.UnderWay))
	case len(d.Retries) > 0:
		return fmt.Sprintf("%d failed, trying again with other settings", len(d.Retries))
	}
	return ""
}

// line shows one molecule.
func (d *display) line(name string, mol *journal.Molecule, width int, now time.Time) string {
	spinner := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	turn := spinner[int(now.UnixMilli()/100%int64(len(spinner)))]
	expected, _ := d.estimate.Target(mol.Stage, mol.Size)
	instance, instances := max(mol.Instance, 1), max(mol.Instances, 1)
	ended := float64(instance) // of the stage's targets
	if !mol.Running.IsZero() {
		ended--
		if expected > 0 { // not full before the end
			ended += min(max(now.Sub(mol.Running).Seconds(), 0)/expected.Seconds(), 0.95)
		}
	}
	title, done := mol.Stage, 0.0
	if i := d.position(mol.Stage); i >= 0 {
		title = cmp.Or(d.Stages[i].Title, title)
		done = (float64(i) + ended/float64(instances)) / float64(len(d.Stages))
	}
	s := fmt.Sprintf("%c %s  %s  %s", turn, name, bar(done, width), clean(title))
	if instances > 1 {
		s += fmt.Sprintf(" %d/%d", instance, instances)
	}
	s += "  " + duration(now.Sub(mol.StageSince))
	if expected >= 100*time.Millisecond {
		s += " of about " + duration(time.Duration(instances)*expected)
	}
	return s
}

// bar shows a part of the whole, from 0 to 1.
func bar(part float64, width int) string {
	cells := 30
	if width < 80 {
		cells = 12 // to leave room for the text
	}
	b := pb.New(cells).SetCurrent(int64(part * float64(cells))).SetWidth(cells + 2)
	return b.SetTemplateString(`{{bar . "[" "█" "█" "░" "]"}}`).String()
}

// batchLine is the whole batch: counts, bar, failures, time left.
func (d *display) batchLine(width int, now time.Time) string {
	part := float64(d.Done) / float64(max(d.Total, 1))
	s := fmt.Sprintf("%d/%d %s %.0f%%", d.Done, d.Total, bar(part, width), 100*part)
	if d.Failed > 0 {
		s += fmt.Sprintf("  %d failed", d.Failed)
	}
	left := d.Rest(now).Round(time.Second)
	if left > 10*time.Minute {
		left = left.Round(time.Minute) // nobody can read a number that never rests
	}
	switch {
	case !d.Ended.IsZero() || d.Done >= d.Total:
		s += "  in " + duration(now.Sub(d.Started))
	case left > 0 && !d.Stopping && !d.Interrupted:
		s += fmt.Sprintf("  about %v left", left)
	}
	return s
}

// text is the line of a finished molecule: how many there are, name, status, and time or error.
func (d *display) text(row journal.Event) string {
	status, colour, detail := fmt.Sprintf("%-5s", clean(row.Outcome)), "\x1b[31m", clean(row.Error)
	if strings.EqualFold(row.Outcome, journal.OK) {
		colour = "\x1b[32m"
	}
	if d.colour {
		status = colour + status + "\x1b[0m"
	}
	if detail == "" && row.Seconds > 0 {
		detail = duration(time.Duration(row.Seconds * float64(time.Second)))
	}
	digits := len(fmt.Sprint(d.Total))
	return strings.TrimRight(fmt.Sprintf("[%*d/%d] %s  %s  %s", digits, d.Done, d.Total,
		clean(row.Mol), status, detail), " ")
}

// duration writes a time as the summary of a batch does: "3.2s", "2m5s", "1h3m0s".
func duration(d time.Duration) string {
	if d < 9950*time.Millisecond {
		return fmt.Sprintf("%.1fs", max(d, 0).Seconds())
	}
	return d.Round(time.Second).String()
}

// clean makes a text safe to print on one line: an error may quote a program's output.
func clean(s string) string {
	words := strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) })
	return strings.Join(words, " ")
}

// cut shortens a line to less than the terminal's width: in some terminals a cursor in the last
// column wraps.
func cut(s string, width int) string {
	if pb.CellCount(s) < width {
		return s
	}
	return pb.StripString(s, max(width-2, 0)) + "…"
}
