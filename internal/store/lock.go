package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"grimperium/internal/durable"
)

// Holder is who has a lock.
type Holder struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Since   time.Time `json:"since"`
	Command string    `json:"command"`
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
	text := fmt.Sprintf("%s: another batch has it: process %d on %s since %s (%s); "+
		"wait for it to end, or stop it", e.What, e.Holder.PID, e.Holder.Host,
		e.Holder.Since.Local().Format(time.DateTime), e.Holder.Command)
	return strings.Map(func(r rune) rune { // anything may stand in the file
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

// Lock is an exclusive claim by flock(2), which the system drops when the process ends. Some
// network file systems keep flock to one machine. A holder therefore renews the file's time stamp,
// and a holder on another host is believed while it does. Where there is no flock, who makes the
// file NAME.alive has the lock, until it is silent for long or its process on this host is gone.
type Lock struct {
	Note string // a sentence for a warning, "" if there is nothing to say

	f     *os.File
	path  string
	what  string
	owned bool          // the file is removed by Release
	stop  chan struct{} // ends the time stamps; nil before they begin
}

const (
	beatEvery  = 10 * time.Second
	believed   = 3 * beatEvery // a holder on another host that was not heard of for so long is gone
	aliveMark  = ".alive"
	holderSize = 4096 // bytes of the file
)

var flock = unix.Flock // a test has none

// lockless are the errors of flock where a file system has no locks.
var lockless = []error{unix.ENOSYS, unix.ENOLCK, unix.EOPNOTSUPP, unix.EINVAL}

// TakeLock locks a file, which is made if it is missing, for what the user calls what. It writes
// nothing into it until Announce.
func TakeLock(path, what string) (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o666)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s: is a symbolic link, which a batch does not follow; remove it", path)
	}
	if err != nil {
		return nil, err
	}
	l := &Lock{f: f, path: path, what: what}
	err = l.take()
	if slices.ContainsFunc(lockless, func(e error) bool { return errors.Is(err, e) }) {
		l.path, l.owned = path+aliveMark, true
		l.Note = fmt.Sprintf("%s: the file system has no locks (%v); the file %s is the lock instead",
			what, err, l.path)
		err = errors.Join(f.Close(), l.takeAlive())
	}
	if err != nil {
		l.f.Close()
		return nil, err
	}
	return l, nil
}

// take locks the file by flock. A program that a killed batch was just starting has the claim until
// its exec.
func (l *Lock) take() error {
	for n := 0; ; n++ {
		err := flock(int(l.f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		h, _, _ := peek(l.path)
		switch {
		case err == nil:
			return l.elsewhere()
		case !errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("%s: can't be locked: %w", l.path, err)
		case h.alive():
			return &LockedError{l.what, h}
		case n == 25:
			return &LockedError{What: l.what}
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// takeAlive makes the file that is the lock where there is no flock. Of two that saw the old holder
// gone, the later one has it.
func (l *Lock) takeAlive() (err error) {
	for tries := 0; ; tries++ {
		l.f, err = os.OpenFile(l.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if err == nil {
			if err = l.write(); err != nil || tries == 0 {
				return err
			}
			time.Sleep(200 * time.Millisecond)
			return l.Lost()
		}
		if !errors.Is(err, fs.ErrExist) || tries > 2 {
			return err
		}
		h, heard, err := peek(l.path)
		if err == nil && (h.Host == hostname && h.alive() || h.Host != hostname && heard) {
			err = &LockedError{l.what, h}
		}
		if err == nil {
			err = durable.Remove(l.path)
		}
		if err != nil {
			return err
		}
	}
}

// elsewhere is an error while a holder on another host, or one without flock, says that it lives.
func (l *Lock) elsewhere() error {
	for _, path := range []string{l.path, l.path + aliveMark} {
		h, heard, err := peek(path)
		if err != nil {
			return err
		}
		another := h.Host != "" && h.Host != hostname || path != l.path && h.alive()
		if heard && another {
			return &LockedError{l.what, h}
		}
	}
	return nil
}

// peek is who wrote into a lock's file last, if anyone did, and whether it was heard of lately.
func peek(path string) (h Holder, heard bool, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return h, false, nil
	}
	if err != nil {
		return h, false, err
	}
	defer f.Close()
	data, _ := io.ReadAll(io.LimitReader(f, holderSize))
	if json.Unmarshal(data, &h) != nil {
		h = Holder{}
	}
	info, err := f.Stat()
	return h, err == nil && time.Since(info.ModTime()) <= believed, err
}

// alive says whether the holder may live: nobody, and a process of this host that is gone, do not.
func (h Holder) alive() bool {
	return h.PID > 0 && (h.Host != hostname || unix.Kill(h.PID, 0) != unix.ESRCH)
}

// Lost is an error if the file was removed or replaced meanwhile: whoever looks for the lock now
// does not find this one.
func (l *Lock) Lost() error {
	mine, err := l.f.Stat()
	if err != nil {
		return err
	}
	if now, err := os.Lstat(l.path); err != nil || !os.SameFile(mine, now) {
		return fmt.Errorf("%s: its lock file %s was removed while the batch ran, so that another batch "+
			"may have begun; nothing more was written, run again", l.what, l.path)
	}
	return nil
}

// Announce writes into the lock who has it.
func (l *Lock) Announce() error {
	if l.stop != nil {
		return nil
	}
	if err := l.elsewhere(); err != nil {
		return err
	}
	if err := l.write(); err != nil {
		return fmt.Errorf("%s: its lock can't say who has it: %w; "+
			"make room on the disk, or move the file away", l.what, err)
	}
	return nil
}

// write writes the holder, and begins to renew the file's time stamp.
func (l *Lock) write() error {
	command := strings.Join(append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...), " ")
	command = command[:min(len(command), holderSize/8)] // JSON makes up to six bytes of one
	data, err := json.Marshal(Holder{os.Getpid(), hostname, time.Now(), command})
	if err == nil {
		err = l.fill(data)
	}
	if err == nil {
		l.stop = make(chan struct{})
		go l.beat(l.stop)
	}
	return err
}

// fill writes over all that is in the file: not every file system can cut a file.
func (l *Lock) fill(data []byte) error {
	_, err := l.f.WriteAt(fmt.Appendf(nil, "%-*s\n", holderSize-1, data), 0)
	return err
}

// beat gives the file a new time stamp every few seconds. The system sets it: another user of the
// group may own the file.
func (l *Lock) beat(stop chan struct{}) {
	for {
		select {
		case <-time.After(beatEvery):
			_ = unix.Utimes(l.path, nil)
		case <-stop:
			return
		}
	}
}

// Release gives the lock up.
func (l *Lock) Release() error {
	var err error
	if l.stop != nil {
		close(l.stop)
		l.stop = nil
		if err = l.fill(nil); l.owned && l.Lost() == nil {
			err = durable.Remove(l.path)
		}
	}
	return errors.Join(err, l.f.Close())
}
