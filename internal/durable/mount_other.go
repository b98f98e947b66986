//go:build !linux

package durable

// IsMountPoint is false: only Linux tells.
func IsMountPoint(string) bool { return false }
