package durable

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

func syncFS(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// FineStamps reports whether a write that follows a look at a file below dir always changes the time
// stamp of the file. Linux 6.13 and later promise that on these file systems (multigrain time stamps,
// Documentation/filesystems/multigrain-ts.rst). Elsewhere a stamp is as coarse as the kernel's clock.
func FineStamps(dir string) bool {
	var kernel unix.Utsname
	var fs unix.Statfs_t
	if unix.Uname(&kernel) != nil || unix.Statfs(dir, &fs) != nil {
		return false
	}
	var major, minor int
	_, err := fmt.Sscanf(unix.ByteSliceToString(kernel.Release[:]), "%d.%d", &major, &minor)
	multigrain := []int64{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC}
	return err == nil && (major > 6 || major == 6 && minor >= 13) && slices.Contains(multigrain, int64(fs.Type))
}
