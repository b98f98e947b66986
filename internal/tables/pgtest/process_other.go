//go:build !linux

package pgtest

import "syscall"

// dieWithUs does nothing: elsewhere Remove must be called.
func dieWithUs(*syscall.SysProcAttr) {}
