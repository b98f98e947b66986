package progress

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/cheggaaa/pb/v3"

	"grimperium/internal/journal"
)

const (
	cellsPerStage = 6  // of a molecule's bar: 30 characters for five stages
	fewCells      = 2  // on a narrow terminal, so that what is being done can still be read
	narrow        = 80 // characters
	maxMolecules  = 8  // that are shown at a time
)

// model is what a batch's events add up to. It remembers the molecules under way, and of the finished ones only the
// lines that are not shown yet.
type model struct {
	stages   []journal.Stage
	position map[string]int // of a stage by name
	forecast *journal.Forecast
	left     string // of the batch's time, as it was
	leftAt   time.Time

	pid         int
	started     time.Time
	total, done int
	failed      int
	ended       bool
	underWay    []*molecule // in the order in which they started
	finished    []finished
}

// molecule is one that has a target started and no row written.
type molecule struct {
	id           string
	size         []float64
	since        time.Time // its first target in this batch
	stage        string
	running      map[int]time.Time // start by instance, of that stage
	over         map[int]bool      // instances of it that have ended
	instances    int               // of that stage, at least 1
	stageStarted time.Time
}

// finished is a molecule whose row was written.
type finished struct {
	number  int // the how manieth of this batch
	id      string
	status  string
	seconds float64
	err     string
}

func (m *model) apply(e journal.Event) {
	if e.Event != journal.Row {
		m.forecast.Add(e)
	}
	switch e.Event {
	case journal.BatchStart:
		*m = model{stages: e.Stages, forecast: m.forecast, pid: e.PID, started: e.Time, total: e.Total}
		m.position = map[string]int{}
		for i, s := range e.Stages {
			m.position[s.Name] = i
		}
	case journal.Scheduled:
		m.total = e.Total
	case journal.TargetStart:
		if m.shows(e.Stage) {
			m.molecule(e).start(e)
		}
	case journal.TargetEnd:
		if !m.shows(e.Stage) {
			return
		}
		if e.Outcome == journal.Interrupted {
			m.remove(e.Mol)
			return
		}
		m.molecule(e).end(e)
	case journal.Row:
		m.row(e)
	case journal.BatchEnd:
		m.ended = true
		m.underWay = nil
	}
}

// shows says whether a stage has a part of the bar: the batch lists those that have a title.
func (m *model) shows(stage string) bool {
	_, listed := m.position[stage]
	return listed || len(m.position) == 0
}

// row takes in a molecule's new status. Only the statuses that end a molecule's batch count.
func (m *model) row(e journal.Event) {
	switch strings.ToLower(e.Outcome) {
	case "selected", "running":
		return
	case "pending":
		m.remove(e.Mol)
		return
	case "ok":
	default:
		m.failed++
	}
	m.forecast.Add(e)
	m.done++
	seconds := e.Seconds
	if mol := m.remove(e.Mol); mol != nil && seconds == 0 {
		seconds = e.Time.Sub(mol.since).Seconds()
	}
	m.finished = append(m.finished, finished{m.done, e.Mol, e.Outcome, seconds, e.Error})
}

// molecule returns the molecule of an event, which is from now on under way, in the event's stage.
func (m *model) molecule(e journal.Event) *molecule {
	var mol *molecule
	for _, x := range m.underWay {
		if x.id == e.Mol {
			mol = x
		}
	}
	if mol == nil {
		mol = &molecule{id: e.Mol, since: e.Time}
		m.underWay = append(m.underWay, mol)
	}
	if mol.stage != e.Stage {
		mol.stage, mol.stageStarted = e.Stage, e.Time
		mol.running, mol.over = map[int]time.Time{}, map[int]bool{}
	}
	mol.instances = max(e.Instances, 1)
	return mol
}

func (m *model) remove(id string) *molecule {
	for i, mol := range m.underWay {
		if mol.id == id {
			m.underWay = append(m.underWay[:i], m.underWay[i+1:]...)
			return mol
		}
	}
	return nil
}

func (mol *molecule) start(e journal.Event) {
	mol.running[e.Instance], mol.size = e.Time, e.Size
	delete(mol.over, e.Instance) // tried again
}

func (mol *molecule) end(e journal.Event) {
	delete(mol.running, e.Instance)
	mol.over[e.Instance] = true
}

// part is how much of its stage the molecule has done, from 0 to 1: instances that are over count whole, running ones by
// the time they are expected to take.
func (mol *molecule) part(expected time.Duration, now time.Time) float64 {
	sum := float64(len(mol.over))
	for _, since := range mol.running {
		if expected > 0 {
			// never full before its end
			sum += min(max(now.Sub(since).Seconds(), 0)/expected.Seconds(), 0.95)
		}
	}
	return min(sum/float64(mol.instances), 1)
}

// frame is what a terminal of the given width shows of the batch now, on so many rows: a line per molecule under way, and the batch.
func (m *model) frame(width, rows int, now time.Time) []string {
	if m.started.IsZero() {
		return nil
	}
	var lines []string
	shown := m.underWay[:min(len(m.underWay), maxMolecules, max(rows-2, 0))]
	names := 0
	for _, mol := range shown {
		names = max(names, pb.CellCount(clean(mol.id)))
	}
	for _, mol := range shown {
		lines = append(lines, cut(m.line(mol, names, width, now), width))
	}
	if more := len(m.underWay) - len(shown); more > 0 {
		lines = append(lines, cut(fmt.Sprintf("  and %d more", more), width))
	}
	return append(lines, cut(m.batchLine(width, now), width))
}

// line shows one molecule; names is the width of the longest name.
func (m *model) line(mol *molecule, names, width int, now time.Time) string {
	const spinner = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
	turns := []rune(spinner)
	turn := turns[int(now.UnixMilli()/100%int64(len(turns)))]

	title, expected := mol.stage, m.forecast.Target(mol.stage, mol.size)
	position, known := m.position[mol.stage]
	if known && m.stages[position].Title != "" {
		title = m.stages[position].Title
	}
	perStage := cellsPerStage
	if width < narrow {
		perStage = fewCells
	}
	name := clean(mol.id)
	name += strings.Repeat(" ", max(names-pb.CellCount(name), 0))
	s := fmt.Sprintf("%c %s  %s  %s", turn, name, m.bar(mol, perStage, position, known, expected, now), clean(title))
	if mol.instances > 1 {
		s += fmt.Sprintf(" %d/%d", min(len(mol.over)+1, mol.instances), mol.instances)
	}
	s += "  " + duration(now.Sub(mol.stageStarted))
	if expected > 0 {
		s += " of about " + duration(time.Duration(mol.instances)*expected)
	}
	return s
}

// bar is the molecule's bar: some cells a stage, and a lighter one where it is.
func (m *model) bar(mol *molecule, perStage, position int, known bool, expected time.Duration, now time.Time) string {
	cells := perStage * len(m.stages)
	full := 0
	if known {
		full = perStage*position + int(float64(perStage)*mol.part(expected, now))
	}
	head := min(1, cells-full)
	return "[" + strings.Repeat("█", full) + strings.Repeat("▓", head) + strings.Repeat("░", cells-full-head) + "]"
}

// batchLine is the whole batch: counts, bar if there is room for one, failures, time left.
func (m *model) batchLine(width int, now time.Time) string {
	template := `{{counters . "%s/%s"}} {{bar . "[" "█" "▓" "░" "]"}} {{percent . "%.0f%%" ""}}{{string . "rest"}}`
	if width < 60 {
		template = `{{counters . "%s/%s"}} {{percent . "%.0f%%" ""}}{{string . "rest"}}`
	}
	over := m.ended || m.done >= m.total
	elapsed := now.Sub(m.started)
	var rest string
	if m.failed > 0 {
		rest += fmt.Sprintf("  %d failed", m.failed)
	}
	if over {
		rest += "  in " + duration(elapsed)
	} else {
		rest += m.timeLeft(now)
	}
	bar := pb.New(m.total).SetTemplateString(template).SetWidth(max(min(width-1, 99), 1)).Set("rest", rest).SetCurrent(int64(m.done))
	if over {
		bar.Finish() // a full bar has no head
	}
	return bar.String()
}

// timeLeft says when the batch will have ended, and how sure that is. It is thought over once a second: a time that never rests can't be read.
func (m *model) timeLeft(now time.Time) string {
	if now.Sub(m.leftAt) < time.Second {
		return m.left
	}
	m.leftAt, m.left = now, ""
	e, ok := m.forecast.Left(now)
	switch {
	case !ok:
	case e.AtLeast:
		m.left = "  at least " + coarse(e.Left) + " left"
	case e.Spread == 0 || e.Spread > e.Left/2:
		m.left = "  about " + coarse(e.Left) + " left"
	default:
		m.left = "  " + coarse(e.Left) + " ± " + coarse(e.Spread) + " left"
	}
	return m.left
}

// plain is the line of a finished molecule where there is no terminal.
func (m *model) plain(f finished) string {
	return fmt.Sprintf("[%*d/%d] %s", len(fmt.Sprint(m.total)), f.number, m.total, f.text(0, false))
}

// text is a finished molecule without its number: name, status of at least the given width, and time or error.
func (f finished) text(statusWidth int, colour bool) string {
	status := fmt.Sprintf("%-*s", statusWidth, clean(f.status))
	ok := strings.EqualFold(f.status, "ok")
	if colour && ok {
		status = "\x1b[32m" + status + "\x1b[0m"
	} else if colour {
		status = "\x1b[31m" + status + "\x1b[0m"
	}
	switch {
	case f.err != "":
		return clean(f.id) + "  " + status + "  " + clean(f.err)
	case f.seconds > 0:
		return clean(f.id) + "  " + status + "  " + duration(time.Duration(f.seconds*float64(time.Second)))
	}
	return strings.TrimRight(clean(f.id)+"  "+status, " ")
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

// clean makes a text safe to print on one line: an error may quote a program's output, with line ends and escapes.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}

// cut shortens a line to less than the terminal's width: a cursor that waits in the last column wraps in some.
func cut(s string, width int) string {
	if most := 2*width + 20; len(s) > 4*most { // an error can be a megabyte
		if runes := []rune(s); len(runes) > most {
			s = string(runes[:most])
		}
	}
	if pb.CellCount(s) < width {
		return s
	}
	return pb.StripString(s, max(width-2, 0)) + "…"
}
