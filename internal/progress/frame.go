package progress

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/cheggaaa/pb/v3"

	"grimperium/internal/journal"
)

const maxMolecules = 8 // that are shown at a time

// display shows a batch on a terminal, or as plain lines in a file or a pipe.
type display struct {
	journal.State
	estimate *journal.Estimate
	out      io.Writer
	size     func() (width, height int, err error) // nil if out is no terminal
	colour   bool
	lines    []string // that stay, still to be written
	drawn    []int    // widths of the lines of the last frame
	retrying bool     // the line about further attempts is written
	left     string   // the time left as shown, since leftAt
	leftAt   time.Time
}

// add takes in an event. Stages without a title have no part in the display, if others have one.
func (d *display) add(e journal.Event) {
	d.estimate.Add(e)
	begins := e.Event == journal.BatchStart
	retries := e.Event == journal.TargetStart && d.Retries[e.Mol] && !d.retrying
	shown := e.Stage == "" || len(d.Stages) == 0 || d.position(e.Stage) >= 0
	if begins || e.Batch == d.Batch && shown {
		d.State.Add(e)
	}
	switch {
	case begins:
		d.retrying, d.left, d.leftAt = false, "", time.Time{}
	case retries || e.Event == journal.Stopping || e.Event == journal.Interrupted:
		d.retrying = d.retrying || retries
		if d.size == nil { // else the frame has the notice
			d.lines = append(d.lines, d.notice())
		}
	case e.Final() && d.size == nil:
		digits := len(fmt.Sprint(d.Total))
		d.lines = append(d.lines, fmt.Sprintf("[%*d/%d] %s", digits, d.Done, d.Total, d.text(e)))
	case e.Final():
		d.lines = append(d.lines, d.text(e))
	}
}

// position is the number of a stage among those that are shown, or -1.
func (d *display) position(stage string) int {
	return slices.IndexFunc(d.Stages, func(s journal.Stage) bool { return s.Name == stage })
}

// notice is what the batch does besides the usual, or "".
func (d *display) notice() string {
	switch {
	case !d.Ended.IsZero():
	case d.Interrupted:
		return "interrupted, ending programs"
	case d.Stopping:
		running := 0
		for _, mol := range d.UnderWay {
			running += len(mol.Running)
		}
		return fmt.Sprintf("stopping: no new target starts, %d under way", running)
	case len(d.Retries) > 0:
		return fmt.Sprintf("%d failed, trying again with other settings", len(d.Retries))
	}
	return ""
}

// part is how much of its stage a molecule has done, from 0 to 1. Instances that have ended count
// whole, running ones by the time that they are expected to take.
func part(mol *journal.Molecule, expected time.Duration, now time.Time) float64 {
	sum := float64(len(mol.Over))
	for _, since := range mol.Running {
		if expected > 0 {
			const most = 0.95 // not full before its end
			sum += min(max(now.Sub(since).Seconds(), 0)/expected.Seconds(), most)
		}
	}
	return min(sum/float64(mol.Instances), 1)
}

// frame is the batch now on a terminal of so many columns and rows: a line for each molecule under
// way, one for a notice, and the whole batch.
func (d *display) frame(width, rows int, now time.Time) []string {
	if d.Started.IsZero() {
		return nil
	}
	notice := d.notice()
	room := rows - 2 - min(len(notice), 1)
	shown := d.UnderWay[:min(len(d.UnderWay), maxMolecules, max(room, 0))]
	names := 0
	for _, mol := range shown {
		names = max(names, pb.CellCount(clean(mol.ID)))
	}
	var lines []string
	for _, mol := range shown {
		lines = append(lines, d.line(mol, names, width, now))
	}
	if more := len(d.UnderWay) - len(shown); more > 0 {
		lines = append(lines, fmt.Sprintf("  and %d more", more))
	}
	if notice != "" {
		lines = append(lines, "  "+notice)
	}
	lines = append(lines, d.batchLine(width, now))
	for i := range lines {
		lines[i] = cut(lines[i], width)
	}
	return lines[max(len(lines)-rows, 0):] // what has left the screen can't be drawn over
}

// line shows one molecule; names is the width of the longest name.
func (d *display) line(mol *journal.Molecule, names, width int, now time.Time) string {
	spinner := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	turn := spinner[int(now.UnixMilli()/100%int64(len(spinner)))]
	perStage := 6 // cells of the bar: 30 for five stages
	if width < 80 {
		perStage = 2 // to leave room for the stage's title
	}
	title, full := mol.Stage, 0
	expected, _ := d.estimate.Target(mol.Stage, mol.Size)
	if i := d.position(mol.Stage); i >= 0 {
		title = cmp.Or(d.Stages[i].Title, title)
		full = perStage*i + int(float64(perStage)*part(mol, expected, now))
	}
	cells := perStage * len(d.Stages)
	head := min(1, cells-full)
	bar := strings.Repeat("█", full) + strings.Repeat("▓", head)
	bar += strings.Repeat("░", cells-full-head)
	name := clean(mol.ID)
	name += strings.Repeat(" ", max(names-pb.CellCount(name), 0))
	s := fmt.Sprintf("%c %s  [%s]  %s", turn, name, bar, clean(title))
	if mol.Instances > 1 {
		s += fmt.Sprintf(" %d/%d", min(len(mol.Over)+1, mol.Instances), mol.Instances)
	}
	s += "  " + duration(now.Sub(mol.StageSince))
	if expected >= 100*time.Millisecond {
		s += " of about " + duration(time.Duration(mol.Instances)*expected)
	}
	return s
}

// batchLine is the whole batch: counts, bar if there is room for one, failures, time left.
func (d *display) batchLine(width int, now time.Time) string {
	template := `{{counters . "%s/%s"}} {{percent . "%.0f%%" ""}}{{string . "rest"}}`
	if width >= 60 {
		template = strings.Replace(template, "}} {{", `}} {{bar . "[" "█" "▓" "░" "]"}} {{`, 1)
	}
	rest := ""
	if d.Failed > 0 {
		rest += fmt.Sprintf("  %d failed", d.Failed)
	}
	over := !d.Ended.IsZero() || d.Done >= d.Total
	if over {
		rest += "  in " + duration(now.Sub(d.Started))
	} else if !d.Stopping && !d.Interrupted {
		rest += d.timeLeft(now)
	}
	bar := pb.New(d.Total).SetTemplateString(template).SetWidth(max(min(width-1, 99), 1))
	bar.Set("rest", rest).SetCurrent(int64(d.Done))
	if over {
		bar.Finish() // a full bar has no head
	}
	return bar.String()
}

// timeLeft says when the batch will have ended. It changes once a second at most: nobody can read a
// number that never rests.
func (d *display) timeLeft(now time.Time) string {
	if now.Sub(d.leftAt) >= time.Second {
		d.leftAt, d.left = now, ""
		if rest, known := d.Rest(d.estimate, now); known {
			d.left = "  about " + coarse(rest) + " left"
		}
	}
	return d.left
}

// text is the line of a finished molecule: name, status, and time or error.
func (d *display) text(row journal.Event) string {
	status, colour := clean(row.Outcome), "\x1b[31m"
	if strings.EqualFold(status, journal.OK) {
		colour = "\x1b[32m"
	}
	if d.size != nil {
		status = fmt.Sprintf("%-5s", status)
	}
	if d.colour {
		status = colour + status + "\x1b[0m"
	}
	detail := ""
	if row.Error != "" {
		detail = "  " + clean(row.Error)
	} else if row.Seconds > 0 {
		detail = "  " + duration(time.Duration(row.Seconds*float64(time.Second)))
	}
	return strings.TrimRight(clean(row.Mol)+"  "+status+detail, " ")
}

// duration writes a time as people read it: "3.2 s", "45 s", "2 min 05 s", "1 h 03 min", "2 d 4 h".
func duration(d time.Duration) string {
	d = max(d, 0)
	s := int(d.Round(time.Second).Seconds())
	switch {
	case d < 9950*time.Millisecond:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min %02d s", s/60, s%60)
	case s < 24*3600:
		return fmt.Sprintf("%d h %02d min", s/3600, s/60%60)
	}
	return fmt.Sprintf("%d d %d h", s/86400, s/3600%24)
}

// coarse writes a time that is not known well: "45 s", "12 min", "3 h 10 min", "2 d 4 h".
func coarse(d time.Duration) string {
	switch {
	case d < 90*time.Second:
		return fmt.Sprintf("%.0f s", math.Ceil(d.Seconds()))
	case d < 90*time.Minute:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return duration(d)
}

// clean makes a text safe to print on one line: an error may quote a program's output.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return ' '
	}, s)
}

// cut shortens a line to less than the terminal's width: in some terminals a cursor in the last
// column wraps.
func cut(s string, width int) string {
	if pb.CellCount(s) < width {
		return s
	}
	return pb.StripString(s, max(width-2, 0)) + "…"
}
