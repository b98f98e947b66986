//go:build !linux

package durable

import "errors"

// IsMountPoint is false: only Linux tells.
func IsMountPoint(string) bool { return false }

// IsUnchangeable is false: only Linux tells.
func IsUnchangeable(string) bool { return false }

func syncFS(string) error { return errors.ErrUnsupported }
