package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
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
	Holder Holder
}

func (e *LockedError) Error() string {
	h := e.Holder
	if h.PID == 0 {
		return fmt.Sprintf("%s: another batch is just starting on it; wait for it to end, or stop it", e.What)
	}
	return fmt.Sprintf("%s: another batch has it: process %d on %s since %s (%s); wait for it to end, or stop it",
		e.What, h.PID, h.Host, h.Since.Local().Format("2006-01-02 15:04:05"), h.Command)
}

// Lock is an exclusive claim that the system drops when the process ends, however it does.
type Lock struct{ f *os.File }

// TakeLock locks a file (made when missing) for what the user calls what. It writes nothing into it until Announce.
func TakeLock(path, what string) (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return &Lock{f}, nil
	}
	defer f.Close()
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("%s: can't be locked: %w", path, err)
	}
	locked := &LockedError{What: what}
	data, _ := io.ReadAll(io.LimitReader(f, 4096))
	if json.Unmarshal(data, &locked.Holder) != nil || !alive(locked.Holder) {
		locked.Holder = Holder{} // what a crashed batch left
	}
	return nil, locked
}

// alive says whether the holder may be who has the lock: a process of this host that is gone can't.
func alive(h Holder) bool {
	host, _ := os.Hostname()
	return h.Host != host || unix.Kill(h.PID, 0) != unix.ESRCH
}

// Announce writes who has the lock into it.
func (l *Lock) Announce() error {
	host, _ := os.Hostname()
	data, err := json.Marshal(Holder{os.Getpid(), host, time.Now(), strings.Join(append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...), " ")})
	if err != nil {
		return err
	}
	if err := l.f.Truncate(0); err != nil {
		return err
	}
	_, err = l.f.WriteAt(append(data, '\n'), 0)
	return err
}

// Release gives the lock up.
func (l *Lock) Release() error { return l.f.Close() }
