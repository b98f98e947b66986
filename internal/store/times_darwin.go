package store

import "golang.org/x/sys/unix"

// times returns modification and change time in nanoseconds.
func times(st *unix.Stat_t) (mtime, ctime int64) { return st.Mtim.Nano(), st.Ctim.Nano() }

// syncAll is not to be had here.
func syncAll(string) error { return unix.ENOTSUP }

// swap is not to be had here.
func swap(a, b string) error { return unix.ENOTSUP }
