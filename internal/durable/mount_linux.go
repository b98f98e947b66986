package durable

import "golang.org/x/sys/unix"

// IsMountPoint reports whether a file system is mounted on a path: a folder, or one
// file as docker -v mounts it.
func IsMountPoint(path string) bool {
	var s unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, 0, &s)
	return err == nil && s.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}
