package cli

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"grimperium/internal/pipeline"
)

// counter shows on a terminal how many rows the workers have answered; elsewhere it is silent.
type counter struct {
	mu    sync.Mutex
	out   *os.File // nil: silent
	stage string
	done  int
	begin time.Time // of the stage
	shown time.Time
}

func newCounter(out *os.File) *counter {
	c := &counter{}
	if term.IsTerminal(int(out.Fd())) && os.Getenv("TERM") != "dumb" {
		c.out = out
	}
	return c
}

// add returns what counts a stage's answers, of so many rows.
func (c *counter) add(total int) func(s *pipeline.Stage, rows int) {
	return func(s *pipeline.Stage, rows int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		now := time.Now()
		if s.Name != c.stage {
			c.stage, c.done, c.begin, c.shown = s.Name, 0, now, now
		}
		c.done += rows
		if c.out == nil || now.Sub(c.shown) < time.Second/5 {
			return
		}
		c.shown = now
		each := now.Sub(c.begin).Seconds() / float64(c.done)
		left := time.Duration(each * float64(total-c.done) * float64(time.Second)).Round(time.Second)
		fmt.Fprintf(c.out, "\r\033[K%s: %d of %d rows checked, %v left", s.Title, c.done, total, left)
	}
}

// clear removes the line.
func (c *counter) clear() {
	if c.out != nil && !c.shown.IsZero() {
		fmt.Fprint(c.out, "\r\033[K")
	}
}
