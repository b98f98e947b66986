// Package progress shows a running batch: on a terminal a bar for every molecule under way and one for the whole batch,
// elsewhere one plain line per finished molecule.
//
// It knows only the journal. It has no part in the batch, can't slow it or fail it, and works as well from a second
// terminal. The summary at the end is not its business.
package progress

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/cheggaaa/pb/v3"
	"golang.org/x/term"

	"grimperium/internal/journal"
)

const (
	redraw    = 100 * time.Millisecond
	pastBytes = 1 << 20 // of the journal, from which is learnt how long things take
)

// Watch follows the journal and shows its running batch, or the next one to start, on out. It returns when the batch
// ends, and, after it has shown what is there to read, when stop is closed or ctx ends. What cannot be read is not
// shown: a display gives no errors.
//
// A batch of this process is shown from its start; one of another process from now on.
func Watch(ctx context.Context, out *os.File, journalPath string, stop <-chan struct{}) {
	reader, err := journal.OpenAtRunningBatch(journalPath)
	if err != nil {
		return
	}
	m := &model{forecast: journal.NewForecast()}
	d := newDisplay(out)
	if d.size != nil {
		m.forecast = reader.Past(pastBytes)
	}
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for first := true; ; first = false {
		now := time.Now()
		stopping := ctx.Err() != nil
		select {
		case <-stop:
			stopping = true
		default:
		}
		drain(reader, m, d, first)
		if stopping || m.ended {
			m.underWay = nil
			d.draw(m, now)
			return
		}
		d.draw(m, now)
		select {
		case <-ctx.Done():
		case <-stop:
		case <-tick.C:
		}
	}
}

// drain takes in all that is new in the journal. attaching says that it is what was there before we came.
func drain(r *journal.Reader, m *model, d *display, attaching bool) {
	for {
		events, err := r.Next()
		for _, e := range events {
			if m.apply(e); m.ended {
				break // what follows is another batch's
			}
		}
		if attaching && m.pid != os.Getpid() {
			m.finished = nil
		}
		d.scroll(m)
		if err != nil || len(events) == 0 || m.ended {
			return
		}
	}
}

// display writes to a terminal, or to what is none.
type display struct {
	out    io.Writer
	size   func() (width, height int, err error) // nil if out is no terminal
	colour bool
	drawn  []int // the widths of the lines that are to be drawn over
	lines  []string
}

func newDisplay(out *os.File) *display {
	d := &display{out: out}
	fd := int(out.Fd())
	if kind := os.Getenv("TERM"); term.IsTerminal(fd) && kind != "" && kind != "dumb" {
		d.size = func() (int, int, error) { return term.GetSize(fd) }
		d.colour = os.Getenv("NO_COLOR") == ""
	}
	return d
}

// scroll takes the finished molecules over from the model: a terminal gets them with the next frame.
func (d *display) scroll(m *model) {
	if d.size == nil && len(m.finished) > 0 {
		var b bytes.Buffer
		for _, f := range m.finished {
			b.WriteString(m.plain(f) + "\n")
		}
		_, _ = d.out.Write(b.Bytes())
	}
	for _, f := range m.finished {
		if d.size != nil {
			d.lines = append(d.lines, f.text(5, d.colour))
		}
	}
	m.finished = nil
}

// draw replaces the last frame by the finished lines, which stay, and the new frame. The cursor rests below it, so
// that whatever happens to us, the terminal is usable.
func (d *display) draw(m *model, now time.Time) {
	if d.size == nil {
		return
	}
	width, height, err := d.size()
	if err != nil || width <= 0 {
		width, height = 80, 24
	}
	most := max(height-1, 1)
	frame := m.frame(width, most, now)
	frame = frame[max(len(frame)-most, 0):] // what has left the screen can't be drawn over
	var b bytes.Buffer
	if up := d.rows(width); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", up)
	}
	d.drawn = d.drawn[:0]
	for _, line := range d.lines {
		b.WriteString(cut(line, width) + d.reset() + "\x1b[K\n")
	}
	for _, line := range frame {
		b.WriteString(line + "\x1b[K\n")
		d.drawn = append(d.drawn, pb.CellCount(line))
	}
	b.WriteString("\x1b[J")
	d.lines = nil
	_, _ = d.out.Write(b.Bytes())
}

// rows is how many rows the last frame takes up now: a terminal that was made narrower has broken its lines.
func (d *display) rows(width int) int {
	n := 0
	for _, cells := range d.drawn {
		n += max(1, (cells+width-1)/width)
	}
	return n
}

// reset ends a colour whose own end was cut off.
func (d *display) reset() string {
	if d.colour {
		return "\x1b[0m"
	}
	return ""
}
