// Package progress shows the running batch of a journal: on a terminal a bar for each molecule
// under way and one for the batch, elsewhere one plain line for each finished molecule.
//
// It reads the journal only. It can neither slow nor fail the batch, and works from a second
// terminal as well. The summary at the end of a batch is not its part. It returns no errors.
package progress

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/cheggaaa/pb/v3"
	"golang.org/x/term"

	"grimperium/internal/journal"
)

const interval = 100 * time.Millisecond

// Watch shows the running batch of a journal, or the next one to start, on out. It returns when the
// batch ends, or when ctx ends, after it has shown what is in the journal then. A batch of this
// process is shown from its start, one of another process from now on.
func Watch(ctx context.Context, out *os.File, journalPath string) {
	reader, err := journal.OpenAtRunningBatch(journalPath)
	if err != nil {
		return
	}
	d := &display{out: out, estimate: journal.NewEstimate()}
	fd := int(out.Fd())
	if kind := os.Getenv("TERM"); term.IsTerminal(fd) && kind != "" && kind != "dumb" {
		d.size = func() (int, int, error) { return term.GetSize(fd) }
		d.colour = os.Getenv("NO_COLOR") == ""
		d.estimate = reader.Past()
	}
	d.read(reader)
	if d.PID != os.Getpid() {
		d.lines = nil
	}
	for over := false; !over; {
		over = ctx.Err() != nil // looked at before the journal, which may have grown until then
		d.read(reader)
		if over = over || !d.Ended.IsZero(); over {
			d.UnderWay = nil
		}
		d.draw(time.Now())
		if !over {
			select {
			case <-ctx.Done():
			case <-time.After(interval):
			}
		}
	}
}

// read takes in all that is new in the journal, until the batch ends: what follows is another's.
func (d *display) read(r *journal.Reader) {
	_ = r.Each(func(e journal.Event) {
		if d.Ended.IsZero() {
			d.add(e)
		}
	})
}

// draw writes the new lines, which stay. On a terminal they and a new frame replace the last frame.
// The cursor rests below it, so that the terminal is usable whenever this process ends.
func (d *display) draw(now time.Time) {
	var b bytes.Buffer
	if d.size != nil {
		d.redraw(&b, now)
	} else {
		for _, line := range d.lines {
			b.WriteString(line + "\n")
		}
	}
	d.lines = nil
	_, _ = b.WriteTo(d.out)
}

func (d *display) redraw(b *bytes.Buffer, now time.Time) {
	width, height, err := d.size()
	if err != nil || width <= 0 {
		width, height = 80, 24
	}
	up := 0 // rows of the last frame: a terminal that was made narrower has broken its lines
	for _, cells := range d.drawn {
		up += max(1, (cells+width-1)/width)
	}
	if up > 0 {
		fmt.Fprintf(b, "\x1b[%dA", up)
	}
	reset := ""
	if d.colour {
		reset = "\x1b[0m" // the end of a colour may be cut off
	}
	for _, line := range d.lines {
		b.WriteString(cut(line, width) + reset + "\x1b[K\n")
	}
	d.drawn = nil
	for _, line := range d.frame(width, max(height-1, 1), now) {
		b.WriteString(line + "\x1b[K\n")
		d.drawn = append(d.drawn, pb.CellCount(line))
	}
	b.WriteString("\x1b[J")
}
