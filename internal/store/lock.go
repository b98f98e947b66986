package store

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"grimperium/internal/durable"
)

// Holder is who has a lock.
type Holder struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Since   time.Time `json:"since"`
	Command string    `json:"command"`
	NoFlock bool      `json:"no_flock,omitempty"` // the file itself is the lock
}

// LockedError says that another batch has the table or the artefacts.
type LockedError struct {
	What   string
	Holder Holder // the zero value if the holder is not known yet
}

func (e *LockedError) Error() string {
	if e.Holder.PID == 0 {
		return e.What + ": another batch is just starting on it; wait for it to end, or stop it"
	}
	text := strconv.Quote(fmt.Sprintf("%s: another batch has it: process %d on %s since %s (%s); "+
		"wait for it to end, or stop it", e.What, e.Holder.PID, e.Holder.Host,
		e.Holder.Since.Local().Format(time.DateTime), e.Holder.Command))
	return text[1 : len(text)-1] // anything may stand in the file
}

// Lock is an exclusive claim by flock(2), which the system drops when the process ends. Some
// network file systems keep flock to one machine, or have none. A holder therefore writes who it is
// into the file and renews the file's time stamp. A holder on another host is believed while it
// does, one without flock on this host while its process is there.
type Lock struct {
	Note string // a sentence for a warning, "" if there is nothing to say

	f    *os.File
	path string
	what string
	stop chan struct{} // ends the time stamps; nil before they begin
}

const (
	beatEvery  = 10 * time.Second
	believed   = 3 * beatEvery // a holder on another host that was not heard of for so long is gone
	holderSize = 4096          // bytes of the file
)

var flock = unix.Flock // a test has none

// TakeLock locks a file for what the user calls what, and makes the file if it is missing. With
// flock it writes nothing into the file until Announce.
func TakeLock(path, what string) (*Lock, error) {
	err := os.MkdirAll(filepath.Dir(path), 0o777)
	const flags = os.O_RDWR | os.O_CREATE | unix.O_NOFOLLOW | unix.O_NONBLOCK
	f, openErr := durable.Regular(os.OpenFile(path, flags, 0o666))
	if errors.Is(openErr, unix.ELOOP) {
		err = fmt.Errorf("%s: is a symbolic link, which a batch does not follow; remove it", path)
	}
	if err = cmp.Or(err, openErr); err != nil {
		return nil, err
	}
	l := &Lock{f: f, path: path, what: what}
	if err := l.take(); err != nil {
		return nil, errors.Join(err, l.Release())
	}
	return l, nil
}

// take locks the file. A program that a killed batch was just starting has a claim until its exec.
func (l *Lock) take() error {
	for n := 0; ; n++ {
		err := flock(int(l.f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return l.free()
		}
		if err == unix.EINTR {
			continue
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			l.Note = fmt.Sprintf("%s: the file system has no locks (%v); what stands in the file "+
				"%s is the lock instead", l.what, err, l.path)
			if err = l.Announce(); err == nil {
				time.Sleep(200 * time.Millisecond) // of two that found nobody, the later one has it
				if h, _, _ := peek(l.path); l.Lost() != nil {
					err = &LockedError{l.what, h}
				}
			}
			return err
		}
		if h, _, _ := peek(l.path); h.alive() {
			return &LockedError{l.what, h}
		}
		if n >= 25 {
			return &LockedError{What: l.what}
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// free is an error while another holder, whom flock does not keep away, says that it lives.
func (l *Lock) free() error {
	h, beat, err := peek(l.path)
	heard := (h.NoFlock || l.Note != "") && h.alive()
	if h.Host != hostname && h.Host != "" && err == nil {
		var now time.Time
		now, err = durable.Now(filepath.Dir(l.path))
		heard = now.Sub(beat).Abs() <= believed // of a clock that was wrong, it lies ahead
	}
	if err == nil && heard && h.Host != "" {
		err = &LockedError{l.what, h}
	}
	return err
}

// peek is who wrote into a lock's file last, if anyone did, and when the file was renewed.
func peek(path string) (h Holder, beat time.Time, err error) {
	data, err := durable.ReadFile(path)
	info, statErr := os.Stat(path)
	if err = cmp.Or(err, statErr); err != nil {
		return h, beat, err
	}
	if json.Unmarshal(data[:min(len(data), holderSize)], &h) != nil { // somebody may add to it
		h = Holder{}
	}
	return h, info.ModTime(), nil
}

// alive says whether the holder may live: nobody, and a process of this host that is gone, do not.
func (h Holder) alive() bool {
	return h.PID > 0 && (h.Host != hostname || unix.Kill(h.PID, 0) != unix.ESRCH)
}

// Lost is an error if the file was removed or replaced meanwhile, or has another holder.
func (l *Lock) Lost() error {
	mine, err := l.f.Stat()
	now, lstatErr := os.Lstat(l.path)
	h, _, _ := peek(l.path)
	own := l.stop == nil || h.PID == os.Getpid() && h.Host == hostname
	if cmp.Or(err, lstatErr) == nil && own && os.SameFile(mine, now) {
		return nil
	}
	return fmt.Errorf("%s: its lock file %s was removed while the batch ran, so that another "+
		"batch may have begun; nothing more was written, run again", l.what, l.path)
}

// Announce writes into the lock who has it, and begins to renew the file's time stamp.
func (l *Lock) Announce() error {
	if l.stop != nil {
		return nil
	}
	if err := l.free(); err != nil {
		return err
	}
	command := strings.Join(append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...), " ")
	command = command[:min(len(command), holderSize/8)] // JSON makes up to six bytes of one
	data, err := json.Marshal(Holder{os.Getpid(), hostname, time.Now(), command, l.Note != ""})
	if err = cmp.Or(err, l.fill(data)); err == nil {
		_ = durable.Renew(l.path) // else fill has set the time stamp
		l.stop = make(chan struct{})
		go l.beat(l.stop)
	}
	return err
}

// fill writes over the whole file: not every file system can cut one.
func (l *Lock) fill(data []byte) error {
	_, err := l.f.WriteAt(fmt.Appendf(nil, "%-*s\n", holderSize-1, data), 0)
	return err
}

// beat has the system set the time stamp: another user of the group may own the file. If the file
// system refuses that, a write does it.
func (l *Lock) beat(stop chan struct{}) {
	for {
		select {
		case <-time.After(beatEvery):
			if durable.Renew(l.path) != nil {
				_, _ = l.f.WriteAt([]byte("{"), 0) // which stands there
			}
		case <-stop:
			return
		}
	}
}

// Release gives the lock up.
func (l *Lock) Release() (err error) {
	if l.stop != nil {
		close(l.stop)
		if l.Lost() == nil {
			err = l.fill(nil)
		}
		l.stop = nil
	}
	return errors.Join(err, l.f.Close())
}
