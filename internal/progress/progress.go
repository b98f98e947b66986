// Package progress shows the running batch of a journal. A terminal has a line for each molecule in
// which something runs, and one for the batch. Elsewhere each finished molecule is one plain line.
//
// A Screen is the terminal. It reads what it shows of a batch from the journal only. So it can
// neither slow nor fail the batch. It returns no errors.
package progress

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cheggaaa/pb/v3"
	"golang.org/x/term"

	"grimperium/internal/journal"
)

// Screen is a terminal, a file or a pipe on which a batch is shown.
type Screen struct {
	Out *os.File

	mu     sync.Mutex
	failed error         // of the first Write that failed
	buffer *bytes.Buffer // what was written while a batch is shown; nil while none is
}

// Write shows lines, as Fit breaks them. While a batch is shown, the text stands above its frame.
func (s *Screen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := io.Writer(s.Out)
	if s.buffer != nil {
		out = s.buffer
	}
	_, err := io.WriteString(out, s.Fit(string(text)))
	s.failed = cmp.Or(s.failed, err)
	return len(text), err
}

// Failed is the error of the first Write that failed, nil if all went well.
func (s *Screen) Failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// Fit breaks lines at blanks, so that they fit into a terminal. Elsewhere they stay as they are.
func (s *Screen) Fit(text string) string {
	if width, _, err := term.GetSize(int(s.Out.Fd())); err == nil && width > 0 {
		return wrap(text, width)
	}
	return text
}

// take returns the lines that were written since the last call.
func (s *Screen) take() (lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range strings.Lines(s.buffer.String()) {
		lines = append(lines, strings.TrimRight(line, "\n"))
	}
	s.buffer.Reset()
	return lines
}

// Watch shows the last batch of a journal. It returns when the batch ends, or when ctx ends, after
// it has shown what is in the journal then. On a terminal only lines that stay are left.
func (s *Screen) Watch(ctx context.Context, journalPath string) {
	d := &display{out: s.Out, estimate: journal.Estimate{}}
	tail := int64(64 << 10) // bytes: has the start of a batch that has just begun
	fd := int(s.Out.Fd())
	if kind := os.Getenv("TERM"); term.IsTerminal(fd) && kind != "" && kind != "dumb" {
		d.size = func() (int, int, error) { return term.GetSize(fd) }
		d.colour = os.Getenv("NO_COLOR") == ""
		tail = 2 << 20 // and tells how long targets take
	}
	s.mu.Lock()
	s.buffer = new(bytes.Buffer)
	s.mu.Unlock()
	reader := journal.OpenTail(journalPath, tail)
	for !d.over {
		d.over = ctx.Err() != nil // looked at before the journal, which may have grown until then
		_ = reader.Each(d.add)
		d.over = d.over || !d.Ended.IsZero()
		d.draw(s.take(), time.Now())
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.buffer.WriteTo(s.Out)
	s.buffer = nil
}

// display shows a batch on a terminal, or as plain lines in a file or a pipe.
type display struct {
	journal.State
	estimate journal.Estimate
	out      io.Writer
	size     func() (width, height int, err error) // nil if out is no terminal
	colour   bool
	over     bool       // nothing more is shown of the batch than lines that stay
	lines    [][]string // that stay, still to be written; each in parts
	drawn    []int      // cells of the lines of the last frame
	names    int        // the longest name so far, in characters
	retrying bool       // a molecule was tried again
}

// add takes in an event. Stages without a title have no part in the display, if others have one.
func (d *display) add(e journal.Event) {
	if e.Event == journal.BatchStart {
		d.lines, d.names, d.retrying = nil, 0, false // the lines are of an earlier batch
	}
	d.estimate.Add(e)
	d.names = max(d.names, min(utf8.RuneCountInString(clean(e.Mol)), 24))
	if e.Stage == "" || len(d.Stages) == 0 || d.position(e.Stage) >= 0 {
		d.State.Add(e)
	}
	retries := e.Event == journal.TargetStart && d.Retries[e.Mol] && !d.retrying
	d.retrying = d.retrying || retries
	switch {
	case e.Batch != d.Batch:
	case e.Final():
		d.lines = append(d.lines, d.finished(e))
	case e.Event == journal.Cluster && e.Error != "":
		d.lines = append(d.lines, []string{clean(e.Error)})
	case d.size != nil: // the frame has the notice
	case retries, e.Event == journal.Stopping, e.Event == journal.Interrupted:
		d.lines = append(d.lines, []string{d.notice()})
	}
}

// position is the number of a stage among those that are shown, or -1.
func (d *display) position(stage string) int {
	return slices.IndexFunc(d.Stages, func(s journal.Stage) bool { return s.Name == stage })
}

const wrapOff, wrapOn = "\x1b[?7l", "\x1b[?7h" // of lines that are too long for the terminal

// draw writes the new lines, which stay, below those of others. On a terminal they and a new frame
// replace the last frame. The cursor rests below it: this process may end at any time.
func (d *display) draw(others []string, now time.Time) {
	var b bytes.Buffer
	width, height := math.MaxInt, 0
	if d.size != nil {
		var err error
		if width, height, err = d.size(); err != nil || width <= 0 {
			width, height = 80, 24
		}
		// Line by line, from a ^C below the frame: tmux keeps a screen that is erased from its top.
		b.WriteString("\r\x1b[2K" + strings.Repeat("\x1b[A\x1b[2K", d.rows(width, height)))
	}
	for _, line := range others { // as they are: nothing of them may be lost
		b.WriteString(line + "\n")
	}
	for _, parts := range d.lines {
		b.WriteString(fit(parts, width) + "\n")
	}
	d.lines, d.drawn = nil, nil
	if d.size != nil {
		b.WriteString(wrapOff) // tmux narrows its screen a quarter of a second before it says so
		for _, line := range d.frame(width, max(height-1, 1), now) {
			line = cut(line, width)
			d.drawn = append(d.drawn, pb.CellCount(line))
			b.WriteString(line + "\n")
		}
		b.WriteString(wrapOn)
	}
	_, _ = b.WriteTo(d.out)
}

// rows is how many rows of the terminal the last frame takes. The terminal may be narrower by now;
// then most terminals wrap the lines. Rows that have left the screen can't be drawn over.
func (d *display) rows(width, height int) (rows int) {
	for _, cells := range d.drawn {
		rows += max((cells+width-1)/width, 1)
	}
	return min(rows, max(height-1, 1))
}

// frame is the batch now, on a terminal of so many columns and rows. It has a line for each
// molecule in which something runs, one for a notice, and one for the whole batch.
func (d *display) frame(width, rows int, now time.Time) (lines []string) {
	if d.Started.IsZero() || !d.Ended.IsZero() || d.over {
		return nil
	}
	ids := d.busy(now)
	shown := ids[:min(len(ids), max(rows-3, 0))]
	names, columns := make([]string, len(shown)), 0
	for n, id := range shown {
		names[n] = cut(clean(id), max(width/3, 10))
		columns = max(columns, utf8.RuneCountInString(names[n]))
	}
	for n, id := range shown {
		name := fmt.Sprintf("%-*s", columns, names[n])
		lines = append(lines, d.line(name, d.UnderWay[id], width, now))
	}
	if more := len(ids) - len(shown); more > 0 {
		lines = append(lines, fmt.Sprintf("  and %d more", more))
	}
	if notice := d.notice(); notice != "" {
		lines = append(lines, "  "+notice)
	}
	if t := d.Tasks; t != nil {
		lines = append(lines,
			fmt.Sprintf("  tasks: %d running, %d pending, %d failed; core hours: %.1f used, "+
				"about %.1f left", t.Running, t.Pending, t.Failed, t.Used, t.Left))
	}
	lines = append(lines, d.batchLine(width, now))
	return lines[max(len(lines)-rows, 0):]
}

const mostName = 45 // columns of a finished molecule's name on a terminal

const pause = 300 * time.Millisecond // between two targets of a molecule, at most

// busy are the molecules in which something runs, sorted: a target does, or one has just ended and
// the next is about to start. The others wait until their row is written.
func (d *display) busy(now time.Time) (ids []string) {
	var between []string
	for id, m := range d.UnderWay {
		last := d.position(m.Stage) == len(d.Stages)-1 && m.Instance == m.Instances
		switch {
		case !m.Running.IsZero():
			ids = append(ids, id)
		case !last && now.Sub(m.Idle) < pause:
			between = append(between, id)
		}
	}
	slices.SortFunc(between, func(a, b string) int { // the latest first
		return cmp.Or(d.UnderWay[b].Idle.Compare(d.UnderWay[a].Idle), strings.Compare(a, b))
	})
	ids = append(ids, between[:min(len(between), max(d.Jobs-len(ids), 0))]...)
	slices.Sort(ids)
	return ids
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

// line shows one molecule. The time and its estimate have room before the title has.
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
	title = clean(title)
	if instances > 1 {
		title += fmt.Sprintf(" %d/%d", instance, instances)
	}
	times := "  " + brief(now.Sub(mol.StageSince))
	if expected >= time.Second {
		times += " of about " + brief(time.Duration(instances)*expected)
	}
	head := fmt.Sprintf("%c %s  ", turn, name)
	switch {
	case width >= 100:
		head += bar(done, 30) + "  "
	case width >= 80:
		head += bar(done, 12) + "  "
	}
	return head + cut(title, max(width-pb.CellCount(head+times), 5)) + times
}

// bar shows a part of the whole, from 0 to 1.
func bar(part float64, cells int) string {
	b := pb.New(cells).SetCurrent(int64(part * float64(cells))).SetWidth(cells + 2)
	return b.SetTemplateString(`{{bar . "[" "█" "█" "░" "]"}}`).String()
}

// batchLine is the whole batch: counts, bar, failures, time left, molecules an hour. Without room
// for all, the bar is shorter or left out. Then the last of the other parts are left out.
func (d *display) batchLine(width int, now time.Time) string {
	part := float64(d.Done) / float64(max(d.Total, 1))
	percent := fmt.Sprintf("%.0f%%", 100*part)
	parts := []string{fmt.Sprintf("%d/%d %s", d.Done, d.Total, percent)}
	if d.Failed > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", d.Failed))
	}
	if left := d.Rest(now).Round(time.Second); left > 0 && !d.Stopping && !d.Interrupted {
		text := "about " + whole(left) + " left"
		if left >= time.Minute {
			text += ", ends " + clock(now.Add(left), now)
		}
		parts = append(parts, text)
	}
	if hours, n := now.Sub(d.Started).Hours(), d.Done-d.Unchanged; n > 0 && hours > 0 {
		rate := float64(n) / hours
		parts = append(parts, fmt.Sprintf("%.*f/h", max(0, 1-int(math.Log10(rate))), rate))
	}
	rest := strings.Join(append([]string{percent}, parts[1:]...), "  ")
	for _, cells := range []int{30, 12, 6} {
		line := fmt.Sprintf("%d/%d %s %s", d.Done, d.Total, bar(part, cells), rest)
		if pb.CellCount(line) < width {
			return line
		}
	}
	return fit(parts, width)
}

// clock is a time of day for a person, with the day unless that is today.
func clock(t, now time.Time) string {
	days := t.Sub(now).Hours() / 24
	switch {
	case t.YearDay() == now.YearDay() && days < 2:
		return t.Format("15:04")
	case days < 6:
		return t.Format("Mon 15:04")
	}
	return t.Format("2 Jan 15:04")
}

// finished is the line of a finished molecule: how many there are, its name, what pipeline.hcl has
// displayed of the result, and the time. Of one that failed it is the status and the reason; the
// summary of the batch has the place, too.
func (d *display) finished(row journal.Event) (parts []string) {
	digits := len(fmt.Sprint(d.Total))
	name := clean(row.Mol)
	if d.size != nil { // in a file there is room
		name = cut(name, mostName)
	}
	head := fmt.Sprintf("[%*d/%d] %-*s", digits, d.Done, d.Total, d.names, name)
	status, ok := clean(row.Outcome), strings.EqualFold(row.Outcome, journal.OK)
	if d.colour {
		status = map[bool]string{true: "\x1b[32m", false: "\x1b[31m"}[ok] + status + "\x1b[0m"
	}
	switch {
	case !ok || row.Error != "":
		return reason(strings.TrimRight(head+"  "+status+"  "+cause(row), " "))
	case len(row.Shown) == 0:
		parts = []string{head, status}
	default:
		parts = []string{head}
		for _, text := range row.Shown {
			parts = append(parts, clean(text))
		}
	}
	if row.Seconds >= 0.05 {
		parts = append(parts, brief(time.Duration(row.Seconds*float64(time.Second))))
	}
	return parts
}

// reason parts a line from the numbers in parentheses at its end, which need no room.
func reason(line string) []string {
	if open := strings.LastIndex(line, " ("); open > 0 && strings.HasSuffix(line, ")") {
		return []string{line[:open], line[open+1:]}
	}
	return []string{line}
}

// cause is why a molecule failed, without its name and without the file to look into.
func cause(row journal.Event) string {
	text := strings.TrimPrefix(clean(row.Error), clean(row.Mol)+"/")
	open := strings.LastIndex(text, " (")
	if open < 0 || !strings.Contains(text[open:], "/"+clean(row.Mol)+"/") {
		return text
	}
	_, rest, _ := strings.Cut(text[open:], ")")
	return text[:open] + rest
}

// brief writes a time as people read it: "3.2s", "2m5s", "1h3m", "2d4h".
func brief(d time.Duration) string {
	if d < 9950*time.Millisecond {
		return fmt.Sprintf("%.1fs", max(d, 0).Seconds())
	}
	return whole(d)
}

// whole is brief without tenths of a second.
func whole(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 9*time.Minute+59500*time.Millisecond:
		return d.Round(time.Second).String()
	case d < 2*day: // nobody can read a number that never rests
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	d = d.Round(time.Hour)
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}

// clean makes a text safe to print on one line: an error may quote a program's output.
func clean(s string) string {
	words := strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) })
	return strings.Join(words, " ")
}

// fit joins the parts of a line as far as they have room, the first of them in any case.
func fit(parts []string, width int) string {
	line := cut(parts[0], width)
	for _, part := range parts[1:] {
		if pb.CellCount(line)+2+pb.CellCount(part) >= width {
			break
		}
		line += "  " + part
	}
	return line
}

// cut shortens a line to less than the width: in some terminals a cursor in the last column wraps.
func cut(s string, width int) string {
	if pb.CellCount(s) < width {
		return s
	}
	return pb.StripString(s, max(width-2, 0)) + "…"
}
