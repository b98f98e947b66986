//go:build !linux

package durable

import "errors"

func syncFS(string) error { return errors.ErrUnsupported }

// FineStamps is not known here.
func FineStamps(string) bool { return false }
