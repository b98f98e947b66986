package durable

import (
	"os"

	"golang.org/x/sys/unix"
)

// IsMountPoint reports whether something is mounted on a path: a folder, or a file by docker -v.
func IsMountPoint(path string) bool {
	var s unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, 0, &s)
	return err == nil && s.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// IsUnchangeable reports whether nobody may change, replace or remove a file: chattr +i or +a has
// marked it. Its mode alone hinders no replacement. The file is not opened: to close it would drop
// the locks that SQLite has on it in this process.
func IsUnchangeable(path string) bool {
	var s unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, 0, 0, &s)
	return err == nil && s.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0
}

func syncFS(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
