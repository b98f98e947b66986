package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"grimperium/internal/durable"
)

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	l, err := TakeLock(path, "table.csv")
	check(t, err)
	var locked *LockedError
	if _, err := TakeLock(path, "table.csv"); !errors.As(err, &locked) || locked.Holder.PID != 0 {
		t.Errorf("before it is announced: %v", err)
	}
	check(t, l.Announce())
	if _, err := TakeLock(path, "table.csv"); !errors.As(err, &locked) ||
		locked.Holder.PID != os.Getpid() {
		t.Errorf("afterwards: %v", err)
	}
	check(t, l.Release())
	beats := func() bool {
		stacks := make([]byte, 1<<20)
		return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "(*Lock).beat")
	}
	on := beats()
	for n := 0; on && n < 200; n++ { // a test beside this one may have a lock, too
		time.Sleep(10 * time.Millisecond)
		on = beats()
	}
	if on {
		t.Error("the goroutine of the lock goes on")
	}
	l, err = TakeLock(path, "table.csv")
	check(t, err)
	if l.Note != "" {
		t.Errorf("note %q", l.Note)
	}
	gone := fmt.Sprintf(`{"pid":4194305,"host":"%s"}`, locked.Holder.Host) // beyond the largest pid
	check(t, os.WriteFile(path, []byte(gone), 0o666))
	if _, err := TakeLock(path, "table.csv"); !errors.As(err, &locked) || locked.Holder.PID != 0 {
		t.Errorf("what a crashed holder left is believed: %v", err)
	}
	check(t, l.Release())
	check(t, os.Remove(path))
	check(t, os.Symlink("/etc/passwd", path))
	if _, err := TakeLock(path, "table.csv"); err == nil {
		t.Error("a link was followed")
	}
}

func TestLockElsewhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	foreign := []byte(`{"pid":1,"host":"another.host","command":"mage batch ` +
		strings.Repeat("x", 500) + `"}`)
	check(t, os.WriteFile(path, foreign, 0o666))
	var locked *LockedError
	if _, err := TakeLock(path, "table.csv"); !errors.As(err, &locked) ||
		locked.Holder.Host != "another.host" {
		t.Errorf("a holder on another host, heard of just now: %v", err)
	}
	long := time.Now().Add(-2 * believed)
	check(t, os.Chtimes(path, long, long))
	l, err := TakeLock(path, "table.csv")
	if err != nil {
		t.Fatalf("a holder on another host, not heard of for long: %v", err)
	}
	check(t, os.WriteFile(path, foreign, 0o666)) // it began in the same moment
	if err := l.Announce(); !errors.As(err, &locked) {
		t.Errorf("announced over another's name: %v", err)
	}
	check(t, l.Release())
	check(t, os.Chtimes(path, long, long))
	l, err = TakeLock(path, "table.csv")
	check(t, err)
	check(t, l.Announce())
	if h, _, _ := peek(path); h.PID != os.Getpid() {
		t.Errorf("written over a longer name: %+v", h)
	}
	check(t, l.Lost())
	mine, err := os.ReadFile(path)
	check(t, err)
	check(t, os.WriteFile(path, foreign, 0o666))
	if err := l.Lost(); err == nil {
		t.Error("another has written its name, the lock is not lost")
	}
	check(t, os.WriteFile(path, mine, 0o666))
	check(t, l.Release())
	if data, err := os.ReadFile(path); err != nil || strings.TrimSpace(string(data)) != "" {
		t.Errorf("a lock that was given up has a holder: %q, %v", data, err)
	}
	l, err = TakeLock(path, "table.csv")
	check(t, err)
	check(t, os.Rename(path, path+".old"))
	if err := l.Lost(); err == nil {
		t.Error("the file is gone, the lock not lost")
	}
	check(t, l.Release())
}

// TestNoFlock is on a file system without flock, or where another process has none.
func TestNoFlock(t *testing.T) {
	defer func() { flock = unix.Flock }()
	for _, errno := range []syscall.Errno{syscall.ENOSYS, syscall.ENOLCK, syscall.EOPNOTSUPP,
		syscall.EINVAL} {
		none := func(int, int) error { return errno }
		flock = none
		path := filepath.Join(t.TempDir(), "lock")
		l, err := TakeLock(path, "table.csv")
		check(t, err)
		if !strings.Contains(l.Note, "the file system has no locks") ||
			!strings.Contains(l.Note, path+" is the lock instead") {
			t.Errorf("note %q", l.Note)
		}
		check(t, l.Announce())
		var locked *LockedError
		for _, flock = range []func(int, int) error{none, unix.Flock} {
			if _, err := TakeLock(path, "table.csv"); !errors.As(err, &locked) ||
				locked.Holder.PID != os.Getpid() {
				t.Errorf("taken twice: %v", err)
			}
		}
		check(t, l.Lost())
		check(t, l.Release())
		long := time.Now().Add(-2 * believed)
		flock = none
		for _, c := range []struct {
			name   string
			holder Holder
			silent bool // for long
			taken  bool
		}{
			{"a process of this host that is gone", Holder{PID: 1 << 22, Host: hostname}, false,
				true},
			{"a process of this host that is stopped", Holder{PID: 1, Host: hostname}, true, false},
			{"another host", Holder{PID: 1 << 22, Host: "other"}, false, false},
			{"another host that is gone", Holder{PID: 1, Host: "other"}, true, true},
			{"nobody", Holder{}, false, true},
		} {
			data, err := json.Marshal(c.holder)
			check(t, err)
			check(t, os.WriteFile(path, data, 0o666))
			if c.silent {
				check(t, os.Chtimes(path, long, long))
			}
			l, err := TakeLock(path, "table.csv")
			if (err == nil) != c.taken || err != nil && !errors.As(err, &locked) {
				t.Errorf("%s: %v", c.name, err)
			}
			if err == nil {
				check(t, l.Announce())
				check(t, l.Release())
			}
		}
	}
}

// A file system whose clock is a minute off, as that of a server: a holder on another host is
// believed by that clock.
func TestLockOtherClock(t *testing.T) {
	defer func(renew func(string) error) { durable.Renew = renew }(durable.Renew)
	for _, skew := range []time.Duration{-time.Minute, time.Minute} {
		durable.Renew = func(path string) error {
			now := time.Now().Add(skew)
			return os.Chtimes(path, now, now)
		}
		path := filepath.Join(t.TempDir(), "lock")
		check(t, os.WriteFile(path, []byte(`{"pid":1,"host":"another.host"}`), 0o666))
		check(t, durable.Renew(path))
		var locked *LockedError
		if _, err := TakeLock(path, "table.csv"); !errors.As(err, &locked) {
			t.Errorf("%v: a holder that lives is not believed: %v", skew, err)
		}
		// Silent for long; of a clock that was wrong.
		for _, off := range []time.Duration{-believed, believed} {
			stamp := time.Now().Add(skew + off + off/10)
			check(t, os.Chtimes(path, stamp, stamp))
			l, err := TakeLock(path, "table.csv")
			check(t, err)
			check(t, l.Release())
		}
	}
}

// A file system that lets nobody set a time stamp, and one that interrupts a call.
func TestLockRefused(t *testing.T) {
	defer func(renew func(string) error) { durable.Renew, flock = renew, unix.Flock }(durable.Renew)
	durable.Renew = func(string) error { return syscall.EPERM }
	interrupts := 0
	flock = func(fd, how int) error {
		if interrupts++; interrupts == 1 {
			return syscall.EINTR
		}
		return unix.Flock(fd, how)
	}
	path := filepath.Join(t.TempDir(), "lock")
	l, err := TakeLock(path, "table.csv")
	check(t, err)
	if l.Note != "" {
		t.Error(l.Note)
	}
	check(t, l.Announce())
	var locked *LockedError
	if _, err := TakeLock(path, "table.csv"); !errors.As(err, &locked) {
		t.Error(err)
	}
	check(t, l.Release())
}

// Of two that begin in the same moment without flock, one has the lock.
func TestNoFlockRace(t *testing.T) {
	defer func() { flock = unix.Flock }()
	flock = func(int, int) error { return syscall.ENOLCK }
	path := filepath.Join(t.TempDir(), "lock")
	time.AfterFunc(100*time.Millisecond, func() {
		_ = os.WriteFile(path, []byte(`{"pid":1,"host":"another.host"}`), 0o666)
	})
	var locked *LockedError
	if _, err := TakeLock(path, "table.csv"); !errors.As(err, &locked) ||
		locked.Holder.Host != "another.host" {
		t.Errorf("taken by both: %v", err)
	}
	if h, _, err := peek(path); err != nil || h.Host != "another.host" {
		t.Errorf("the other's name is gone: %+v, %v", h, err)
	}
}

// FuzzHolder puts foreign bytes into a lock file that nobody holds. The lock is taken, or the bytes
// name a holder on another host. The name is one line of printable text.
func FuzzHolder(f *testing.F) {
	for _, text := range []string{
		`{"pid":12,"host":"another.host","since":"2026-11-23T10:00:00Z","command":"mage batch"}`,
		`{"pid":-1,"host":"a\u001b[31m\nb","since":"9999-12-31T23:59:59Z","command":"\u0000"}`,
		`{"pid":1e3`,
	} {
		f.Add([]byte(text))
	}
	path := filepath.Join(f.TempDir(), "lock")
	f.Fuzz(func(t *testing.T, data []byte) {
		check(t, os.WriteFile(path, data, 0o666))
		l, err := TakeLock(path, "table.csv")
		var locked *LockedError
		switch {
		case err == nil:
			check(t, l.Release())
		case !errors.As(err, &locked) || locked.Holder.Host == "":
			t.Fatal(err)
		case strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }):
			t.Fatalf("%q", err)
		}
	})
}

// Nobody holds a lock that nobody has written into, or whose holder is gone.
func TestAlive(t *testing.T) {
	for _, c := range []struct {
		holder Holder
		want   bool
	}{
		{Holder{}, false},
		{Holder{PID: os.Getpid(), Host: hostname}, true},
		{Holder{PID: 1 << 22, Host: hostname}, false}, // beyond the highest that Linux gives
		{Holder{PID: 1 << 22, Host: "another"}, true},
	} {
		if got := c.holder.alive(); got != c.want {
			t.Errorf("%+v: %t", c.holder, got)
		}
	}
}

// What can't be removed is moved out of the way, or another folder is used.
func TestStuck(t *testing.T) {
	s := open(t)
	m := molecule(t, s, "m")
	for range 2 {
		dir, err := s.Scratch("m/a")
		check(t, err)
		check(t, m.Fail("a", dir))
		durable.Fault = func(op, path string) error {
			if op == "remove" {
				return &os.PathError{Op: op, Path: path, Err: syscall.EBUSY}
			}
			return nil
		}
	}
	defer func() { durable.Fault = nil }()
	check(t, s.Sweep())
	var refused *OutputError
	if err := try(m, "a", print1, "x"); !errors.As(err, &refused) ||
		!strings.HasPrefix(err.Error(), "its folder can't be tidied up: ") {
		t.Errorf("Put: %v", err)
	}
	durable.Fault = nil
	check(t, s.Sweep())
	if _, err := os.Lstat(s.Path(scratchName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the mount is gone: %v", err)
	}
}
