package runner

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"time"
)

// The causes of the end of a context at a limit.
var (
	errTimeout  = errors.New("the time is over")
	errTooLarge = errors.New("the folder holds more than it may")
)

// Watch returns a context that ends at the limits of c: Timeout, MaxBytes and MaxFiles. Everything
// in Dir counts, folders and what others wrote included. Links are not followed. The limits of Dir
// guard the disk: they are measured after a tenth of a second, then every 0.4 seconds, and not at
// the end.
//
// stop must be called. It ends the context, and says by TimedOut, TooLarge and Interrupted of a
// Result why the context had ended before.
func (c Command) Watch(ctx context.Context) (watched context.Context, stop func() Result) {
	ctx, cancel := context.WithCancelCause(ctx)
	if c.Timeout > 0 {
		clock := time.AfterFunc(c.Timeout, func() { cancel(errTimeout) })
		context.AfterFunc(ctx, func() { clock.Stop() })
	}
	if c.MaxBytes > 0 || c.MaxFiles > 0 {
		go func() {
			for pause := 100 * time.Millisecond; ctx.Err() == nil; pause = 400 * time.Millisecond {
				select {
				case <-time.After(pause):
					if tooLarge(c.Dir, c.MaxBytes, c.MaxFiles) {
						cancel(errTooLarge)
					}
				case <-ctx.Done():
				}
			}
		}()
	}
	return ctx, func() (r Result) {
		r.setCause(context.Cause(ctx), c.Timeout)
		cancel(nil)
		return r
	}
}

// tooLarge adds up apparent sizes until a limit is passed. What vanishes meanwhile does not count.
func tooLarge(dir string, maxBytes int64, maxFiles int) (over bool) {
	bytes, files := int64(0), -1 // dir itself does not count
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		files++
		if info, err := e.Info(); err == nil && !e.IsDir() {
			bytes += info.Size()
		}
		if over = maxBytes > 0 && bytes > maxBytes || maxFiles > 0 && files > maxFiles; over {
			return fs.SkipAll
		}
		return nil
	})
	return over
}
