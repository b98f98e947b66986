package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const (
	onePress = 100 * time.Millisecond // timeout(1) and go tool send one signal twice, at once
	mageEnd  = 3 * time.Second        // before its time limit (mage -t) mage gives no warning
)

// begin returns a context that ends with the first SIGINT, SIGTERM or SIGHUP, with the mage that
// started this process, and just before a deadline of ctx. A second SIGINT or SIGTERM ends the
// process at once. end gives the error of the command its exit code.
func begin(ctx context.Context) (_ context.Context, end func(err *error)) {
	deadline, limited := ctx.Deadline()
	ctx, cancel := context.WithCancel(ctx)
	if limited {
		left := time.Until(deadline)
		time.AfterFunc(left-min(mageEnd, left/2), cancel)
	}
	received := make(chan os.Signal, 2)
	signal.Notify(received, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // under nohup the batch outlives its terminal
		signal.Notify(received, syscall.SIGHUP)
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // mage batch | head must not end it
	done := make(chan struct{})
	go watchSignals(received, done, cancel)
	go watchParent(cancel)
	return ctx, func(err *error) {
		cancel()
		signal.Stop(received)
		close(done)
		*err = ended(*err)
	}
}

// watchSignals calls cancel at the first signal. Some shells send SIGHUP twice when their terminal
// closes, therefore only another signal is taken for impatience.
func watchSignals(received chan os.Signal, done <-chan struct{}, cancel func()) {
	var first time.Time
	started := time.After(onePress)
	for {
		select {
		case <-done:
			return
		case <-started:
			// mage has a handler of its own, which it sets at about the time at which this function
			// starts. It would end the process with exit code 1 at the second Ctrl-C, and after five
			// seconds.
			signal.Reset(syscall.SIGINT)
			signal.Notify(received, syscall.SIGINT)
		case s := <-received:
			if first.IsZero() {
				first = time.Now()
				cancel()
			} else if s != syscall.SIGHUP && time.Since(first) > onePress {
				fprintln(os.Stderr, "Error: interrupted twice; ended at once")
				os.Exit(exitInterrupted)
			}
		}
	}
}

// watchParent calls cancel when the mage command that started this process is gone: a mage that is
// killed does not pass the signal on. The end of a shell that started the compiled program (nohup)
// is no reason to stop.
func watchParent(cancel func()) {
	parent := os.Getppid()
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", parent))
	if err != nil || filepath.Base(exe) != "mage" {
		return
	}
	for os.Getppid() == parent {
		time.Sleep(500 * time.Millisecond)
	}
	cancel()
}
