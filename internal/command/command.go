// Package command knows how a user calls this program. Every message that proposes a command line
// begins it with Name.
package command

import (
	"os"
	"path/filepath"
	"strings"
)

// Release is the name of the program of a release.
const Release = "grimperium"

// Name is Release where the program of a release runs, else mage.
var Name = nameOf(os.Args[0])

// nameOf takes the name from the path of the program. A release is downloaded as
// grimperium-0.1.0-linux-amd64, and mage runs a program that is named by a hash.
func nameOf(path string) string {
	if strings.HasPrefix(filepath.Base(path), Release) {
		return Release
	}
	return "mage"
}
