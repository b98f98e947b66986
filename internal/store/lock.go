package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

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
	printable := func(r rune) rune { // whatever stands in the file
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}
	return fmt.Sprintf("%s: another batch has it: process %d on %s since %s (%s); wait for it to end, or stop it",
		e.What, h.PID, strings.Map(printable, h.Host), h.Since.Local().Format("2006-01-02 15:04:05"), strings.Map(printable, h.Command))
}

// Lock is an exclusive claim that the system drops when the process ends, however it does.
//
// Some network file systems keep such claims to one machine. A holder therefore says every few seconds, by the file's time stamp, that it lives, and a
// holder on another host is believed while it does. What a crashed machine left stops being believed by itself.
type Lock struct {
	f    *os.File
	path string
	what string
	beat *time.Ticker // nil until Announce
}

const (
	beatEvery = 10 * time.Second
	believed  = 3 * beatEvery // a holder on another host that was not heard of for so long is gone
)

// TakeLock locks a file (made when missing) for what the user calls what. It writes nothing into it until Announce.
func TakeLock(path, what string) (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s: is a symbolic link, which a batch does not follow; remove it", path)
	}
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	for n := 0; n < 25 && errors.Is(err, unix.EWOULDBLOCK) && !alive(holder(f)); n++ {
		// A program that a killed batch was just starting has the claim until its exec.
		time.Sleep(20 * time.Millisecond)
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err == nil {
		l := &Lock{f: f, path: path, what: what}
		if err := l.elsewhere(); err != nil {
			f.Close()
			return nil, err
		}
		return l, nil
	}
	defer f.Close()
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("%s: can't be locked: %w", path, err)
	}
	locked := &LockedError{What: what}
	if h := holder(f); alive(h) {
		locked.Holder = h
	}
	return nil, locked
}

// OursAlone is an error if every user of the machine may rename and remove what is in the artefacts folder, and so put other results in the place of ours. A
// file system that shows each folder that way (FAT, shared folders of virtual machines) is known by a new folder's mode. The lock must be held.
func (s *Store) OursAlone() error {
	info, err := os.Stat(s.root)
	if err != nil || info.Mode().Perm()&0o002 == 0 || info.Mode()&fs.ModeSticky != 0 {
		return err
	}
	probe, err := s.Scratch(".probe", "mode")
	if err != nil {
		return err
	}
	defer s.Sweep()
	if info, err = os.Stat(probe); err != nil || info.Mode().Perm()&0o002 != 0 {
		return err
	}
	return fmt.Errorf("%s: every user of this machine may write there, and could put other results in the place of yours; forbid it: chmod o-w %[1]s", s.root)
}

// holder is who wrote into the file last, if anyone did.
func holder(f *os.File) (h Holder) {
	data, _ := io.ReadAll(io.NewSectionReader(f, 0, 4096))
	if json.Unmarshal(data, &h) != nil {
		return Holder{}
	}
	return h
}

// alive says whether the holder may be who has the lock: nobody, and a process of this host that is gone, can't.
func alive(h Holder) bool {
	host, _ := os.Hostname()
	return h.PID > 0 && (h.Host != host || unix.Kill(h.PID, 0) != unix.ESRCH)
}

// elsewhere is an error while a holder on another host says that it lives.
func (l *Lock) elsewhere() error {
	locked := &LockedError{What: l.what, Holder: holder(l.f)}
	if host, _ := os.Hostname(); locked.Holder.Host == "" || locked.Holder.Host == host {
		return nil
	}
	info, err := l.f.Stat()
	if err != nil || time.Since(info.ModTime()) > believed {
		return nil
	}
	return locked
}

// Lost is an error if the file was removed or replaced meanwhile: whoever looks for the lock now does not find this one.
func (l *Lock) Lost() error {
	mine, err := l.f.Stat()
	if err != nil {
		return err
	}
	if now, err := os.Lstat(l.path); err != nil || !os.SameFile(mine, now) {
		return fmt.Errorf("%s: its lock file %s was removed while the batch ran, so that another batch may have begun; nothing more was written, run again", l.what, l.path)
	}
	return nil
}

// Announce writes who has the lock into it.
func (l *Lock) Announce() error {
	if err := l.elsewhere(); err != nil {
		return err
	}
	host, _ := os.Hostname()
	data, err := json.Marshal(Holder{os.Getpid(), host, time.Now(), strings.Join(append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...), " ")})
	if err != nil {
		return err
	}
	if err := l.f.Truncate(0); err != nil {
		return err
	}
	if _, err = l.f.WriteAt(append(data, '\n'), 0); err != nil {
		return err
	}
	l.beat = time.NewTicker(beatEvery)
	go func() {
		for now := range l.beat.C { // never closed: the goroutine ends with the process
			_ = os.Chtimes(l.path, now, now)
		}
	}()
	return nil
}

// Release gives the lock up.
func (l *Lock) Release() error {
	if l.beat != nil {
		l.beat.Stop()
		_ = l.f.Truncate(0) // no holder, for other hosts
	}
	return l.f.Close()
}
