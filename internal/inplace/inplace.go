// Package inplace writes over files that nothing needs any more. It knows nothing of what is in them.
//
// A file system takes longer to remove a file and to make another than to write over it, most of all an ext4 without a journal: looking for an inode, it
// passes over each that was freed in the last minutes. And ext4 writes a file to the disk as soon as it is closed, if it was emptied first (mount option
// auto_da_alloc, for programs that never flush): so what is empty is not emptied again, and what is written over is only cut to its new length.
package inplace

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Create is os.Create, with the mode of a new file; what is empty already is only opened.
func Create(path string, mode fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, mode)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		if err := f.Truncate(0); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// Ours says, by what os.Lstat tells of a file, whether it may be written over: nobody else can see it by another name, as a backup could that is made of hard
// links, and it is as we would have made it.
func Ours(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode() == 0o644 && st.Nlink == 1 && st.Uid == uint32(os.Geteuid()) // a mode without a type is a regular file's
}

// Overwrite gives a file another content. It is not atomic.
func Overwrite(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	if info, e := f.Stat(); err == nil && e == nil && info.Size() > int64(len(content)) {
		err = f.Truncate(int64(len(content)))
	}
	return errors.Join(err, f.Close())
}
